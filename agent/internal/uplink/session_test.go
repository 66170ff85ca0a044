package uplink_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"sekimori/internal/record"
)

// Nothing is sent, and no order or policy taken, before a fresh answer has set
// the clock.
func TestAnswers(t *testing.T) {
	for name, change := range map[string]func(r *rig, a *record.Answer){
		"another nonce":  func(_ *rig, a *record.Answer) { a.Nonce[0] ^= 1 },
		"another device": func(_ *rig, a *record.Answer) { a.Device = "DC-21" },
	} {
		scene(t, name, func(t *testing.T, r *rig) {
			r.hub.change = func(a *record.Answer) bool { change(r, a); return true }
			r.box.add(epochA, 5)
			r.run()
			defer r.end()
			r.hub.receipt(nil) // a true one, of a session that has not begun
			r.hub.publish(record.ChannelOrder, []byte("order"))
			r.hub.policy(record.PolicyMessage{Version: 3, Head: []byte("{}")})
			r.pass(time.Second)
			if len(r.heads()) != 0 || len(r.set) != 0 || r.heard != 0 || len(r.orders) != 0 || len(r.facts) != 0 {
				t.Fatalf("batches %d, clock %v, orders %v, facts %v", len(r.heads()), r.set, r.orders, r.facts)
			}
		})
	}
	scene(t, "the same answer again", func(t *testing.T, r *rig) {
		var first []byte
		r.hub.change = func(a *record.Answer) bool {
			if first == nil {
				first = r.hub.seal(r.hub.signer, record.TypeAnswer, *a)
			}
			return true
		}
		r.run()
		defer r.end()
		r.hub.publish(record.ChannelAnswer, first)
		r.pass(time.Second)
		if len(r.set) != 1 || r.heard != 1 {
			t.Fatalf("clock set %d times, heard %d", len(r.set), r.heard)
		}
	})
	scene(t, "heartbeats tell the state", func(t *testing.T, r *rig) {
		r.version = 12
		r.run()
		defer r.end()
		r.pass(2 * time.Minute)
		r.hub.with(func() {
			if len(r.hub.asks) != 5 || r.hub.asks[0].Question != record.AskSync || r.hub.asks[4].Question != record.AskHeartbeat {
				t.Fatalf("asks %+v", r.hub.asks)
			}
			var s record.Status
			if err := json.Unmarshal(r.hub.asks[4].Body, &s); err != nil || s.Policy != 12 || s.LastOrder != 9 || s.LogSize != 42 || s.Boot != (record.BootID{7}) {
				t.Fatalf("%v %+v", err, s)
			}
		})
		if r.heard != 5 {
			t.Fatalf("heard %d times", r.heard)
		}
	})
}

// A hub that never answers, or stops, is left for a new connection, and nobody
// reads of it more than once.
func TestSilentHub(t *testing.T) {
	scene(t, "never", func(t *testing.T, r *rig) {
		r.hub.onAsk = func(record.Ask) {}
		r.run()
		defer r.end()
		r.pass(5 * time.Minute)
		r.hub.with(func() {
			if r.hub.conns < 5 || r.hub.conns > 20 {
				t.Errorf("%d connections in five minutes", r.hub.conns)
			}
		})
		if n := r.log.count("hub not reached"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		r.hub.with(func() { r.hub.onAsk = nil })
		r.pass(time.Minute)
		if r.heard == 0 || r.log.count("hub reached") != 1 {
			t.Errorf("heard %d, log %d", r.heard, r.log.count("hub reached"))
		}
	})
	scene(t, "no more", func(t *testing.T, r *rig) {
		r.run()
		defer r.end()
		r.hub.with(func() { r.hub.onAsk = func(record.Ask) {} })
		r.pass(100 * time.Second)
		r.hub.with(func() {
			if r.hub.conns != 1 {
				t.Errorf("given up after less than three heartbeats")
			}
		})
		r.pass(30 * time.Second)
		r.hub.with(func() {
			if r.hub.conns < 2 {
				t.Errorf("not given up")
			}
		})
	})
	scene(t, "not there at all", func(t *testing.T, r *rig) {
		tries := 0
		r.conf.Dial = func(context.Context, string) (net.Conn, error) {
			tries++
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused"), Addr: &net.TCPAddr{Port: 40000 + tries}}
		}
		r.run()
		defer r.end()
		r.pass(time.Hour)
		if n := r.log.count("hub not reached"); n != 1 || tries < 100 {
			t.Errorf("%d tries, logged %d times", tries, n)
		}
	})
}

// Run ends at once in every state.
func TestRunEndsPromptly(t *testing.T) {
	scene(t, "connected, window full", func(t *testing.T, r *rig) {
		r.hub.onUp = func(record.BatchHead, record.Batch) {}
		r.box.add(epochA, 5000)
		r.run()
		r.end()
	})
	scene(t, "between two connections", func(t *testing.T, r *rig) {
		r.run()
		r.hub.cut()
		synctest.Wait()
		r.end()
	})
	scene(t, "in a dial that hangs", func(t *testing.T, r *rig) {
		r.conf.Dial = func(ctx context.Context, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		r.run()
		r.end()
	})
	scene(t, "in a handshake that hangs", func(t *testing.T, r *rig) {
		var theirs net.Conn
		r.conf.Dial = func(context.Context, string) (net.Conn, error) {
			ours, x := net.Pipe()
			theirs = x
			return ours, nil
		}
		r.run()
		r.end()
		theirs.Close()
	})
	scene(t, "with a broker that accepts nothing", func(t *testing.T, r *rig) {
		r.conf.Dial = func(context.Context, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			r.hub.serves.Go(func() { mute(r.hub, theirs) })
			return ours, nil
		}
		r.run()
		r.end()
	})
}

// Facts that the journal cannot take must not keep it from being emptied.
func TestFullJournalIsEmptied(t *testing.T) {
	scene(t, "clock refused, ledger doubted, policy rejected", func(t *testing.T, r *rig) {
		r.full = errors.New("full")
		r.refuse, r.step = record.Fail(record.CodeClockStep, errors.New("too far")), &record.ClockSet{}
		r.doubt = &record.LedgerDoubt{Code: record.CodeLogForked}
		r.activate = record.Fail(record.CodePolicyOld, errors.New("old"))
		r.box.add(epochA, 600)
		r.run()
		defer r.end()
		r.hub.policy(record.PolicyMessage{Version: 3, Head: head(t, r, 0)})
		r.pass(time.Second)
		r.wantHeld(epochA, 600)
		r.hub.with(func() {
			if r.hub.conns != 1 {
				t.Errorf("%d connections", r.hub.conns)
			}
		})
	})
}

// What is wrong is a fact once, however often it comes.
func TestRepeatedRejectionsAreOneFact(t *testing.T) {
	scene(t, "orders", func(t *testing.T, r *rig) {
		r.execute = record.Fail(record.CodeBadSignature, errors.New("forged"))
		r.run()
		defer r.end()
		for range 100 {
			r.hub.publish(record.ChannelOrder, []byte("x"))
		}
		r.pass(time.Second)
		r.wantFacts("order_rejected SK-1002")
		r.hub.cut() // nor does a new connection make it new
		r.pass(time.Minute)
		r.hub.publish(record.ChannelOrder, []byte("x"))
		r.pass(time.Second)
		r.wantFacts("order_rejected SK-1002")
		r.pass(11 * time.Minute)
		r.hub.publish(record.ChannelOrder, []byte("x"))
		r.pass(time.Second)
		r.wantFacts("order_rejected SK-1002", "order_rejected SK-1002")
	})
	scene(t, "hub time", func(t *testing.T, r *rig) {
		r.refuse, r.step = record.Fail(record.CodeClockStep, errors.New("too far")), &record.ClockSet{}
		r.run()
		defer r.end()
		r.pass(5 * time.Minute)
		r.wantFacts("clock_anomaly")
	})
}

// head is a policy head of n chunks; its signature is nobody's business here.
func head(t *testing.T, r *rig, n int) []byte {
	t.Helper()
	h := record.PolicyHead{Device: device, Version: 3, Chunks: make([]record.Hash, n)}
	return r.hub.seal(r.hub.signer, record.TypePolicy, h)
}

// [T-53] A policy is activated whole or not at all, whatever comes in between.
func TestPolicyPieces(t *testing.T) {
	type m = record.PolicyMessage
	chunk := func(n int, text string) m { return m{Version: 3, Index: n, Chunk: []byte(text)} }
	for _, c := range []struct {
		name string
		send func(r *rig) []m
		want string
	}{
		{"in order", func(r *rig) []m { return []m{{Version: 3, Head: head(t, r, 2)}, chunk(0, "a"), chunk(1, "b")} }, "a|b"},
		{"none", func(r *rig) []m { return []m{{Version: 3, Head: head(t, r, 2)}} }, ""},
		{"without a head", func(*rig) []m { return []m{chunk(0, "a"), chunk(1, "b")} }, ""},
		{"one missing", func(r *rig) []m {
			return []m{{Version: 3, Head: head(t, r, 3)}, chunk(0, "a"), chunk(2, "c"), chunk(1, "b")}
		}, ""},
		{"one twice", func(r *rig) []m {
			return []m{{Version: 3, Head: head(t, r, 2)}, chunk(0, "a"), chunk(0, "a"), chunk(1, "b")}
		}, "a|b"},
		{"negative", func(r *rig) []m {
			return []m{{Version: 3, Head: head(t, r, 2)}, chunk(-1, "a"), chunk(0, "a"), chunk(1, "b")}
		}, ""},
		{"too large", func(r *rig) []m {
			return []m{{Version: 3, Head: head(t, r, 1)}, chunk(0, strings.Repeat("x", record.PolicyChunkSize+1))}
		}, ""},
		{"of another version in between", func(r *rig) []m {
			return []m{{Version: 3, Head: head(t, r, 2)}, chunk(0, "a"), {Version: 2, Index: 1, Chunk: []byte("z")}, chunk(1, "b")}
		}, "a|b"},
		{"begun again", func(r *rig) []m {
			return []m{{Version: 3, Head: head(t, r, 2)}, chunk(0, "z"), {Version: 3, Head: head(t, r, 2)}, chunk(0, "a"), chunk(1, "b")}
		}, "a|b"},
	} {
		scene(t, c.name, func(t *testing.T, r *rig) {
			r.run()
			defer r.end()
			for _, x := range c.send(r) {
				r.hub.policy(x)
			}
			r.pass(time.Second)
			var got []string
			for _, p := range r.policies {
				got = append(got, string(p))
			}
			if strings.Join(got, ",") != c.want {
				t.Fatalf("activated %q, want %q", got, c.want)
			}
		})
	}
	scene(t, "a head of a million chunks", func(t *testing.T, r *rig) {
		r.run()
		defer r.end()
		r.hub.policy(m{Version: 3, Head: head(t, r, 1000)})
		r.pass(time.Second)
		r.wantFacts("policy_rejected SK-1001")
	})
}

// A broker is not trusted with this device's memory.
func TestHugePacket(t *testing.T) {
	scene(t, "announced", func(t *testing.T, r *rig) {
		r.run()
		defer r.end()
		r.hub.with(func() { _, _ = r.hub.conn.Write([]byte{packets.Publish << 4, 0xFF, 0xFF, 0xFF, 0x7F}) })
		r.pass(time.Minute)
		if r.log.count("announced a packet") != 1 {
			t.Fatal("it was believed")
		}
		r.hub.with(func() {
			if r.hub.conns != 2 {
				t.Errorf("%d connections", r.hub.conns)
			}
		})
	})
}
