package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sekimori/internal/clock"
)

// town is the fixture city as processes: the simulator, a hub and two door
// controllers. D31 takes one factor here, so that a card alone moves its lock.
type town struct {
	options
	dir         string
	https, mqtt string
	password    string
	procs       []*proc // in the order of their start
}

// proc is one running program.
type proc struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

func newTown(o options, dir string) *town {
	return &town{options: o, dir: dir, password: "bench bench bench 42"}
}

func (t *town) path(name string) string { return filepath.Join(t.dir, name) }

// start runs a program of bin until stop.
func (t *town) start(name, program string, args ...string) (*proc, error) {
	p := &proc{name: name, log: t.path(name + ".log"), done: make(chan struct{})}
	f, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p.cmd = exec.Command(filepath.Join(t.bin, program), args...)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // killed, or its log tells why it ended
		close(p.done)
	}()
	t.procs = append(t.procs, p)
	return p, nil
}

// stop asks a program to end, and waits.
func (p *proc) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// stopAll stops the newest first, so that what is under way arrives.
func (t *town) stopAll() {
	for i := len(t.procs) - 1; i >= 0; i-- {
		t.procs[i].stop()
	}
}

func (t *town) proc(name string) *proc {
	for _, p := range t.procs {
		if p.name == name {
			return p
		}
	}
	return nil
}

// tails is the end of every log, for an error.
func (t *town) tails() string {
	var out strings.Builder
	for _, p := range t.procs {
		text, err := os.ReadFile(p.log)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&out, "--- %s\n%s\n", p.name, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	return out.String()
}

// once runs a program to its end and returns what it printed.
func once(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, &faults)
	}
	return out.String(), nil
}

func (t *town) hub(ctx context.Context, stdin string, args ...string) (string, error) {
	return once(ctx, stdin, filepath.Join(t.bin, "sekimori-hub"), append(args, "--settings", t.path("hub.yaml"))...)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// found makes the city and starts everything.
func (t *town) found(ctx context.Context) error {
	var err error
	if t.https, err = freePort(); err != nil {
		return err
	}
	if t.mqtt, err = freePort(); err != nil {
		return err
	}
	if err := errors.Join(t.writeHub(), t.writeCity()); err != nil {
		return err
	}
	if _, err := t.start("sim", "sekimori-sim", "run", "--config", filepath.Join(t.repo, "configs/sim.yaml"), "--dir", t.path("sim")); err != nil {
		return err
	}
	for _, step := range []struct {
		stdin string
		args  []string
	}{
		{"", []string{"init"}},
		{"", []string{"import", t.path("city.yaml"), "--as", "P01"}},
		{t.password + "\n", []string{"user", "passwd", "yamada"}},
	} {
		if _, err := t.hub(ctx, step.stdin, step.args...); err != nil {
			return err
		}
	}
	if _, err := t.start("hub", "sekimori-hub", "run", "--settings", t.path("hub.yaml")); err != nil {
		return err
	}
	if err := t.logged(ctx, "hub", `"hub is up"`); err != nil {
		return err
	}
	return errors.Join(t.controller(ctx, "DC-31"), t.controller(ctx, "DC-21"))
}

// logged waits until a program's log says something.
func (t *town) logged(ctx context.Context, name, what string) error {
	return eventually(ctx, 30*time.Second, name+" says "+what, func() (bool, error) {
		text, err := os.ReadFile(t.path(name + ".log"))
		return bytes.Contains(text, []byte(what)), err
	})
}

func (t *town) writeHub() error {
	text := fmt.Sprintf("version: 1\nmunicipality: 関森市\nname: localhost\nstate: %s\nlisten: {https: %q, mqtt: %q}\ndevices: %q\naddresses: [127.0.0.1]\n",
		t.path("hub"), t.https, t.mqtt, t.mqtt)
	return os.WriteFile(t.path("hub.yaml"), []byte(text), 0o600)
}

// writeCity is the fixture with permits of this fiscal year, one factor at D31,
// and a third door whose controller is the bench itself.
func (t *town) writeCity() error {
	text, err := os.ReadFile(filepath.Join(t.repo, "configs/fixture/kanmori.yaml"))
	if err != nil {
		return err
	}
	now := clock.Now().In(clock.JST)
	year := now.Year()
	if now.Month() < time.April {
		year--
	}
	city := strings.NewReplacer(
		"2026-06-30", fmt.Sprintf("%d-03-31", year+1), "2026-", fmt.Sprintf("%d-", year), "2027-", fmt.Sprintf("%d-", year+1),
		"    second_factor: any\n", "",
		"\npeople:\n", benchDoor+"\npeople:\n"+t.staff(),
	).Replace(string(text))
	return os.WriteFile(t.path("city.yaml"), []byte(city), 0o600)
}

// staff is who goes in and out at the devices of the load, ten at each.
func (t *town) staff() string {
	var out strings.Builder
	for n := range 10 * (t.agents + 1) {
		fmt.Fprintf(&out, "  - {id: %s-%d, name: 職員 %d番, section: 施設課, category: 職員}\n", deviceName(n/10), n%10, n)
	}
	return out.String()
}

// deviceName is the n-th device of the load.
func deviceName(n int) string { return fmt.Sprintf("DC-L%03d", n) }

const benchDoor = `  - id: DB1
    room: R21
    controller: DC-B1
    readers:
      - {id: DB1-in, direction: in}
    release: 5s
    offline_max_age: 72h
`

// controller enrols and starts one of the two controllers.
func (t *town) controller(ctx context.Context, id string) error {
	name := "agent-" + strings.ToLower(strings.ReplaceAll(id, "-", "")) + ".yaml"
	text, err := os.ReadFile(filepath.Join(t.repo, "configs", name))
	if err != nil {
		return err
	}
	conf := strings.NewReplacer("scratch/sim", t.path("sim"), "scratch/"+id, t.path(id), "localhost:8883", t.mqtt, "localhost:8443", t.https).Replace(string(text))
	if err := os.WriteFile(t.path(name), []byte(conf), 0o600); err != nil {
		return err
	}
	code, err := t.code(ctx, id)
	if err != nil {
		return err
	}
	if _, err := once(ctx, code+"\n", filepath.Join(t.bin, "sekimori-agent"), "enrol", "--settings", t.path(name)); err != nil {
		return err
	}
	for _, reader := range secured(string(text)) {
		if _, err := once(ctx, "", filepath.Join(t.bin, "sekimori-agent"), "readers", "commission", reader, "--settings", t.path(name)); err != nil {
			return err
		}
	}
	_, err = t.start(id, "sekimori-agent", "run", "--settings", t.path(name))
	return err
}

// secured lists the readers of a settings file that want a key of their own.
func secured(text string) (readers []string) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "- {id: ")
		if id, _, _ := strings.Cut(rest, ","); ok && strings.Contains(rest, "link: secure") {
			readers = append(readers, id)
		}
	}
	return readers
}

// code is an enrolment code for a device.
func (t *town) code(ctx context.Context, device string) (string, error) {
	out, err := t.hub(ctx, "", "enrol-code", device, "--as", "P01")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1], err
}

// eventually waits for a condition.
func eventually(ctx context.Context, within time.Duration, what string, ok func() (bool, error)) error {
	deadline := time.Now().Add(within)
	for {
		done, err := ok()
		if err != nil || done {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", within, what)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
