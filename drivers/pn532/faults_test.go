package pn532_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers/drivertest"
	"sekimori/drivers/line"
	"sekimori/drivers/pn532"
)

func TestFaultsCostNoCard(t *testing.T) {
	for name, fault := range map[string]func(*module){
		"lost ACKs":        func(m *module) { m.loseACK = 2 },
		"lost answers":     func(m *module) { m.lose = 2 },
		"damaged answers":  func(m *module) { m.damage = 2 },
		"answers twice":    func(m *module) { m.twice = 9 },
		"error frames":     func(m *module) { m.refuse = 2 },
		"rubbish before":   func(m *module) { m.noise = 5 },
		"all of them":      func(m *module) { m.loseACK, m.damage, m.twice, m.noise, m.lose = 1, 1, 1, 1, 1 },
		"asleep":           func(m *module) { m.awake, m.endless = false, true },
		"settings lost":    func(m *module) { m.endless = true },
		"silent for a bit": func(m *module) { m.lose, m.loseACK = 5, 5 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, plain(), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
				for i := range 5 {
					m.set(func() { fault(m) })
					m.hold(&chip{uid: append([]byte{4, byte(i)}, uid7[2:]...)})
					until(t, 3*time.Second, "the card", count(rec, i+1))
					m.hold()
					time.Sleep(2 * time.Second)
				}
				if n := len(rec.Readings()); n != 5 {
					t.Errorf("%d readings of 5 cards", n)
				}
				if h := rec.Last(); !h.Online || h.Retries+h.Noise == 0 {
					t.Errorf("health %+v: online, and something counted", h)
				}
			})
		})
	}
}

// One stall costs one time-out, and does not take the reader offline.
func TestStall(t *testing.T) {
	bubble(t, plain(), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		m.set(func() { m.delay = 400 * time.Millisecond })
		m.hold(&chip{uid: uid7})
		time.Sleep(30 * time.Millisecond)
		m.set(func() { m.delay = 0 })
		if took := until(t, 2*time.Second, "the card", count(rec, 1)); took > 900*time.Millisecond {
			t.Errorf("the card took %v", took)
		}
		for _, h := range rec.Healths()[1:] {
			if !h.Online {
				t.Errorf("one stall took the reader offline: %s", h.Detail)
			}
		}
	})
}

// A module that wakes, says who it is and never finds a card is no reader.
func TestBlindModuleIsOffline(t *testing.T) {
	bubble(t, plain(), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		m.set(func() { m.blind = true })
		until(t, 3*time.Second, "offline", func() bool { return !rec.Last().Online })
		time.Sleep(time.Minute)
		if h := rec.Last(); h.Online || h.Detail != "no answer to InListPassiveTarget" {
			t.Errorf("health %+v", h)
		}
		m.set(func() { m.blind = false })
		m.hold(&chip{uid: uid7})
		until(t, 3*time.Second, "the card", count(rec, 1))
	})
}

func TestUnpluggedAndBack(t *testing.T) {
	bubble(t, plain(), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		for i := range 5 {
			m.Plug(false)
			if took := until(t, 3*time.Second, "offline", func() bool { return !rec.Last().Online }); took > 2*time.Second {
				t.Errorf("unplugging was noticed after %v", took)
			}
			if rec.Last().Detail == "" {
				t.Error("no word about why")
			}
			time.Sleep(time.Minute + time.Duration(i)*71*time.Millisecond)
			m.Plug(true)
			m.hold(&chip{uid: uid7})
			if took := until(t, 3*time.Second, "the card", count(rec, i+1)); took > time.Second {
				t.Errorf("usable %v after the return", took)
			}
			m.hold()
			time.Sleep(time.Second)
		}
	})
}

// A module that talks without end, whether rubbish or good frames nobody asked
// for, is offline, stops nobody and is forgiven.
func TestBabble(t *testing.T) {
	for name, rubbish := range map[string][]byte{
		"rubbish": {0xA5, 0x5A, 0x00, 0xFF, 0x17},
		"ACKs":    ackFrame,
		"cards":   unhex("0000FF0CF4 D54B 01 01 0004 08 04 DEADBEEF 96 00"),
		"a start": {0x00, 0x00, 0xFF, 0xFF, 0xFF},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, plain(), func(t *testing.T, m *module, c *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
				c.setGone(true)
				time.Sleep(2 * time.Second)
				m.set(func() { m.unplugged = true })
				c.setGone(false)
				time.Sleep(2 * time.Second)
				stop := make(chan bool)
				var wg sync.WaitGroup
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(3 * time.Millisecond):
							c.write(rubbish)
						}
					}
				})
				time.Sleep(3 * time.Second)
				if rec.Last().Online || len(rec.Readings()) != 0 {
					t.Errorf("online %v, %d readings", rec.Last().Online, len(rec.Readings()))
				}
				close(stop)
				wg.Wait()
				m.Plug(true)
				m.hold(&chip{uid: uid7})
				until(t, 2*time.Second, "the card after the babble", count(rec, 1))
			})
		})
	}
}

// torrent is a port on which there is always something to read, as the buffer of
// a driver in the kernel has when nobody can keep up.
type torrent struct {
	rubbish []byte
	gone    chan struct{}
	once    sync.Once
}

func (p *torrent) Read(b []byte) (int, error) {
	select {
	case <-p.gone:
		return 0, line.ErrClosed
	case <-time.After(time.Millisecond):
		return copy(b, p.rubbish), nil
	}
}
func (p *torrent) Write(b []byte) (int, error)        { return len(b), nil }
func (p *torrent) SetReadTimeout(time.Duration) error { return nil }
func (p *torrent) Close() error                       { p.once.Do(func() { close(p.gone) }); return nil }

func TestTorrent(t *testing.T) {
	for name, rubbish := range map[string][]byte{"rubbish": {0xA5, 0x00}, "a long frame": {0x00, 0xFF, 0xFF, 0xFF, 0x01, 0x00, 0xFF}, "ACKs": ackFrame} {
		synctest.Test(t, func(t *testing.T) {
			r, rec := mustReader(t, plain(), func() (line.Port, error) {
				return &torrent{rubbish: rubbish, gone: make(chan struct{})}, nil
			}), &drivertest.Recorder{}
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			wg.Go(func() { r.Run(ctx, rec) })
			time.Sleep(10 * time.Second)
			if h := rec.Last(); h.Online || h.Retries < 10 || h.Detail == "not yet opened" {
				t.Errorf("%s: %+v, want one that has tried", name, h)
			}
			began := time.Now()
			cancel()
			wg.Wait()
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("%s: Run took %v to return", name, took)
			}
		})
	}
}

func TestPortDisappearsAndComesBack(t *testing.T) {
	bubble(t, plain(), func(t *testing.T, m *module, c *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		c.setGone(true)
		until(t, time.Second, "offline", func() bool { return !rec.Last().Online })
		time.Sleep(10 * time.Minute)
		m.reset()
		c.setGone(false)
		m.hold(&chip{uid: uid7})
		until(t, 2*time.Second, "the card after the return", count(rec, 1))
	})
}
