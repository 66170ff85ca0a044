package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
	"sekimori/internal/bench/measure"
)

// rig is a simulator with one bus, and the driver on it.
type rig struct {
	wire
	dir, sim string
	proc     *exec.Cmd
	http     *http.Client
	bus      *osdp.Bus
	stop     context.CancelFunc
	running  sync.WaitGroup
	ears     []*ear
}

// ear is one reader as this process hears it.
type ear struct {
	id       string
	readings chan reading
	health   chan drivers.Health
}

// reading is a card and when this process had it, on the simulator's clock.
type reading struct {
	card string
	at   time.Duration
}

func (e *ear) Reading(r drivers.Reading) { e.readings <- reading{r.Card.Key(), measure.Mono()} }

// Health keeps the newest only.
func (e *ear) Health(h drivers.Health) {
	for {
		select {
		case e.health <- h:
			return
		default:
		}
		select {
		case <-e.health:
		default:
		}
	}
}

// build writes the site and makes the driver; nothing runs yet.
func (b *bench) build(w wire, n int) (*rig, error) {
	dir, err := os.MkdirTemp(b.dir, "skr")
	if err != nil {
		return nil, err
	}
	r := &rig{wire: w, dir: dir, sim: filepath.Join(b.bin, "sekimori-sim")}
	socket := filepath.Join(dir, "sim", "sim.sock")
	var d net.Dialer
	r.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }}}
	var site strings.Builder
	fmt.Fprintf(&site, "version: 1\ncontrollers:\n  - id: B\n    buses: [{name: bus0, baud: %d, turnaround: 1ms}]\n    doors: [{id: D, lock: fail-secure}]\n    readers:\n", w.baud)
	cfg := osdp.Config{Baud: w.baud}
	for i := range n {
		e := &ear{id: fmt.Sprintf("R%d", i), readings: make(chan reading, b.burst+b.cards), health: make(chan drivers.Health, 1)}
		r.ears = append(r.ears, e)
		fmt.Fprintf(&site, "      - {id: %s, door: D, kind: osdp, bus: bus0, address: %d%s}\n", e.id, i, w.site())
		reader, err := w.reader(e.id, byte(i))
		if err != nil {
			return nil, errors.Join(err, r.remove())
		}
		cfg.Readers = append(cfg.Readers, reader)
	}
	if err := os.WriteFile(filepath.Join(dir, "site.yaml"), []byte(site.String()), 0o600); err != nil {
		return nil, errors.Join(err, r.remove())
	}
	r.bus, err = osdp.NewBus(cfg, line.Serial(filepath.Join(dir, "sim", "B.bus0"), w.baud))
	if err != nil {
		return nil, errors.Join(err, r.remove())
	}
	return r, nil
}

// start starts the simulator, pulls cables and starts the driver; it returns
// when every other reader is online.
func (r *rig) start(ctx context.Context, absent int) error {
	log, err := os.Create(filepath.Join(r.dir, "sim.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	r.proc = exec.Command(r.sim, "run", "--config", filepath.Join(r.dir, "site.yaml"), "--dir", filepath.Join(r.dir, "sim"))
	r.proc.Stdout, r.proc.Stderr = log, log
	if err := r.proc.Start(); err != nil {
		return err
	}
	ready := time.Now().Add(20 * time.Second)
	for r.call(ctx, http.MethodGet, "/v1/state", nil, nil) != nil {
		if time.Now().After(ready) {
			return fmt.Errorf("the simulator did not start\n%s", r.tail())
		}
		time.Sleep(20 * time.Millisecond)
	}
	present := len(r.ears) - absent
	for _, e := range r.ears[present:] {
		if err := r.cable(ctx, e, false); err != nil {
			return err
		}
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	for i, reader := range r.bus.Readers() {
		r.running.Go(func() { _ = reader.Run(run, r.ears[i]) }) // its settings were checked
	}
	for _, e := range r.ears[:present] {
		if _, err := e.until(ctx, 30*time.Second, true); err != nil {
			return err
		}
	}
	return nil
}

// until waits for a reader to be online, or not, and tells when that was.
func (e *ear) until(ctx context.Context, limit time.Duration, online bool) (time.Duration, error) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	for {
		select {
		case h := <-e.health:
			if h.Online == online {
				return measure.Mono(), nil
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("%s: online %v did not come: %w", e.id, online, ctx.Err())
		}
	}
}

// next waits for a reading.
func (e *ear) next(ctx context.Context) (reading, error) {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	select {
	case got := <-e.readings:
		return got, nil
	case <-ctx.Done():
		return reading{}, fmt.Errorf("%s: no reading: %w", e.id, ctx.Err())
	}
}

// remove ends everything and deletes the scratch folder.
func (r *rig) remove() error {
	if r.stop != nil {
		r.stop()
		r.running.Wait()
	}
	if r.proc != nil && r.proc.Process != nil {
		_ = r.proc.Process.Signal(syscall.SIGTERM)
		_ = r.proc.Wait() // its log tells
	}
	r.http.CloseIdleConnections()
	return os.RemoveAll(r.dir)
}

func (r *rig) tail() string {
	text, err := os.ReadFile(filepath.Join(r.dir, "sim.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-1000):])
}

// act is the simulator's answer to an act.
type act struct {
	MonoNS int64 `json:"mono_ns"`
}

func (r *rig) cable(ctx context.Context, e *ear, in bool) error {
	return r.call(ctx, http.MethodPost, "/v1/readers/"+e.id+"/cable", map[string]bool{"connected": in}, nil)
}

// card holds a card to a reader and tells when the reader had it.
func (r *rig) card(ctx context.Context, e *ear, id int) (time.Duration, error) {
	var a act
	err := r.call(ctx, http.MethodPost, "/v1/readers/"+e.id+"/card", map[string]any{"format": "h10301", "facility": 1, "id": id}, &a)
	return time.Duration(a.MonoNS), err
}

func (r *rig) call(ctx context.Context, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://sim"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.200s", path, resp.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
