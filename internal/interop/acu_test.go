//go:build interop && linux

package interop

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
)

// controller is our access-control unit in this process, with one reader, R.
type controller struct {
	t        *testing.T
	bus      *osdp.Bus
	reader   drivers.Reader
	readings chan drivers.Reading
	health   chan drivers.Health
	stop     func()
}

func (c *controller) Reading(r drivers.Reading) { c.readings <- r }
func (c *controller) Health(h drivers.Health)   { c.health <- h }

func startController(t *testing.T, port string, baud int, k *osdp.Key) *controller {
	t.Helper()
	c := &controller{t: t, readings: make(chan drivers.Reading, 64), health: make(chan drivers.Health, 4096)}
	cfg := osdp.Config{Baud: baud, Log: slog.New(slog.DiscardHandler),
		Readers: []osdp.ReaderConfig{{Reader: "R", Address: address, Key: k}}}
	var err error
	if c.bus, err = osdp.NewBus(cfg, line.Serial(port, baud)); err != nil {
		t.Fatal(err)
	}
	c.reader = c.bus.Readers()[0]
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.reader.Run(ctx, c) }()
	ended := false
	c.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(c.stop)
	return c
}

func (c *controller) until(what string, fits func(drivers.Health) bool) {
	c.t.Helper()
	limit := time.After(patience)
	var last drivers.Health
	for {
		select {
		case last = <-c.health:
			if fits(last) {
				return
			}
		case <-limit:
			c.t.Fatalf("%s did not come: %+v", what, last)
		}
	}
}

func (c *controller) reading() drivers.Reading {
	c.t.Helper()
	select {
	case r := <-c.readings:
		return r
	case <-time.After(patience):
		c.t.Fatal("no reading")
	}
	return drivers.Reading{}
}

// work tries what a door wants of a libosdp reader.
func (c *controller) work(p *peer, secure bool) {
	c.t.Helper()
	began := time.Now()
	p.do("card", map[string]any{"bits": 26, "data": "06181cc0"})
	if r := c.reading(); r.Card.Key() != "26:06181cc0" || r.Authenticated != secure || r.Proof != drivers.ProofUIDOnly {
		c.t.Errorf("card %s, authenticated %v, proof %s", r.Card.Key(), r.Authenticated, r.Proof)
	}
	c.t.Logf("card to reading: %v", time.Since(began).Round(time.Millisecond))
	p.do("keys", map[string]any{"data": "373030370d"}) // 7007#
	if r := c.reading(); r.Keys.Typed() != "7007" || r.Authenticated != secure || r.Proof != drivers.ProofPIN {
		c.t.Errorf("%d keys, authenticated %v, proof %s", len(r.Keys.Typed()), r.Authenticated, r.Proof)
	}
	c.reader.Show(drivers.SignalGranted)
	p.wait("the green lamp", func(m message) bool {
		return m.Kind == "command" && m.Command == "led" && m.OnColor == int(osdp.Green)
	})
	p.wait("the buzzer", func(m message) bool { return m.Kind == "command" && m.Command == "buzzer" })
	reader, err := c.bus.Reader("R")
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := reader.Do(ctx, osdp.Text{Control: 1, Row: 1, Column: 1, Text: "SEKIMORI"}); err != nil {
		c.t.Error(err)
	}
	p.wait("the text", func(m message) bool { return m.Kind == "command" && m.Command == "text" && m.Data == "SEKIMORI" })
	// The Python binding of libosdp's main branch cannot answer it.
	var refused *osdp.RefusedError
	if r, err := reader.Do(ctx, osdp.LStat{}); errors.As(err, &refused) {
		c.t.Log(err)
	} else if err != nil {
		c.t.Error(err)
	} else if s, ok := r.(osdp.LStatR); !ok || s.Tamper || s.PowerFail {
		c.t.Errorf("LSTAT was answered %+v", r)
	}
}

func mustKey(t *testing.T, text string) *osdp.Key {
	t.Helper()
	k, err := osdp.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return &k
}

func startDevice(t *testing.T, more ...string) (*peer, string) {
	t.Helper()
	p := startPeer(t, "pd", "-", 115200, address, more...)
	return p, p.wait("the pty", func(m message) bool { return m.Kind == "port" }).Path
}

func online(secure bool) func(drivers.Health) bool {
	return func(h drivers.Health) bool { return h.Online && h.Secure == secure && !h.Refused }
}

// TestDevice lets our access-control unit use libosdp's peripheral device, in
// clear and with the reader's own key.
func TestDevice(t *testing.T) {
	t.Run("clear", func(t *testing.T) {
		p, port := startDevice(t)
		began := time.Now()
		c := startController(t, port, 115200, nil)
		c.until("the reader", online(false))
		t.Logf("online after %v", time.Since(began).Round(time.Millisecond))
		c.work(p, false)
	})
	t.Run("own key", func(t *testing.T) {
		p, port := startDevice(t, "--key", key, "--enforce")
		began := time.Now()
		c := startController(t, port, 115200, mustKey(t, key))
		c.until("the secure reader", online(true))
		t.Logf("secure after %v", time.Since(began).Round(time.Millisecond))
		c.work(p, true)
	})
}

// TestDeviceCommissioned: a libosdp reader in install mode gets its own key by
// the default one, in an explicit act; afterwards a fresh start needs no act.
func TestDeviceCommissioned(t *testing.T) {
	p, port := startDevice(t, "--install")
	c := startController(t, port, 115200, nil)
	c.until("the reader", online(false))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	if err := c.bus.Commission(ctx, "R", *mustKey(t, key), patience); err != nil {
		t.Fatal(err)
	}
	t.Logf("commissioned in %v", time.Since(began).Round(time.Millisecond))
	p.wait("the key", func(m message) bool { return m.Kind == "command" && m.Command == "keyset" })
	c.until("the secure reader", online(true))
	c.work(p, true)
	c.stop()

	c = startController(t, port, 115200, mustKey(t, key))
	c.until("the secure reader, without commissioning", online(true))
	c.work(p, true)
}

// TestDeviceWithAnotherKey: a reader that has not the key is refused, is not
// asked for anything in clear, and gets no key.
func TestDeviceWithAnotherKey(t *testing.T) {
	p, port := startDevice(t, "--key", key)
	c := startController(t, port, 115200, mustKey(t, other))
	c.until("the refusal", func(h drivers.Health) bool { return h.Refused })
	p.do("card", map[string]any{"bits": 26, "data": "06181cc0"})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	err := c.bus.Commission(ctx, "R", *mustKey(t, other), 2*time.Second)
	var of *osdp.ReaderError
	if !errors.As(err, &of) {
		t.Fatalf("a reader with another key was commissioned: %v", err)
	}
	t.Log(err)
	select {
	case r := <-c.readings:
		t.Errorf("a reading came over a link that is refused: %v", r.Proof)
	default:
	}
	for _, m := range p.seen {
		if m.Kind == "command" {
			t.Errorf("the reader was told %v", m.Command)
		}
	}
}
