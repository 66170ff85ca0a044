package pd_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/pd"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors pins the frames that other implementations sent on the wire.
func TestVectors(t *testing.T) {
	cases := []struct {
		name  string
		wire  string // with the mark byte
		frame pd.Frame
	}{
		{"poll", "ff 53 00 08 00 06 60 89 cc",
			pd.Frame{Seq: 2, CRC: true, Code: pd.CmdPoll}},
		{"ack", "ff 53 80 08 00 06 40 3b ca",
			pd.Frame{Reply: true, Seq: 2, CRC: true, Code: pd.ReplyAck}},
		{"raw, 26 bits", "ff 53 80 10 00 05 50 00 01 1a 00 a0 00 00 35 21 ee",
			pd.Frame{Reply: true, Seq: 1, CRC: true, Code: pd.ReplyRaw,
				Data: []byte{0, 1, 26, 0, 0xa0, 0, 0, 0x35}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			wire := unhex(t, c.wire)
			got, err := pd.Decode(wire[1:])
			if err != nil {
				t.Fatal(err)
			}
			if got.Code != c.frame.Code || got.Reply != c.frame.Reply || got.Seq != c.frame.Seq ||
				got.Addr != c.frame.Addr || !got.CRC || !bytes.Equal(got.Data, c.frame.Data) {
				t.Errorf("decoded %+v, want %+v", got, c.frame)
			}
			if enc := c.frame.Encode(); !bytes.Equal(enc, wire) {
				t.Errorf("encoded % x, want % x", enc, wire)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		want       error
	}{
		{"one bit wrong", "53 00 08 00 06 61 89 cc", pd.ErrCheck},
		{"length too large", "53 00 09 00 06 60 89 cc", pd.ErrLength},
		{"too short", "53 00 06 00 00 a7", pd.ErrLength},
		{"no start", "54 00 08 00 06 60 89 cc", pd.ErrLength},
	} {
		if _, err := pd.Decode(unhex(t, c.wire)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestScannerFindsFramesInNoise(t *testing.T) {
	poll := unhex(t, "ff 53 00 08 00 06 60 89 cc")
	var stream []byte
	stream = append(stream, 0x00, 0x53, 0x53, 0x00, 0xff)                                // false starts
	stream = append(stream, poll...)                                                     //
	stream = append(stream, unhex(t, "53 00 08 00 06 61 89 cc")...)                      // bad check
	stream = append(stream, poll...)                                                     //
	stream = append(stream, pd.Frame{Addr: 1, Seq: 1, Code: pd.CmdPoll}.Encode()[1:]...) // sum, no mark
	var s pd.Scanner
	var got []pd.Frame
	for _, b := range stream { // one byte at a time
		got = append(got, s.Feed(b)...)
	}
	if len(got) != 3 || got[2].CRC || got[2].Addr != 1 {
		t.Fatalf("found %+v", got)
	}
	if s.Pending() {
		t.Error("something is left over")
	}
}

// acu talks to a PD in frames, keeping the sequence by hand.
type acu struct {
	t   *testing.T
	pd  *pd.PD
	now time.Duration
}

func (a *acu) send(seq, code byte, data ...byte) pd.Frame {
	a.t.Helper()
	b := a.pd.Handle(pd.Frame{Addr: a.pd.Kept().Addr, Seq: seq, CRC: true, Code: code, Data: data}, a.now)
	if b == nil {
		a.t.Fatal("silence")
	}
	f, err := pd.Decode(b[1:])
	if err != nil {
		a.t.Fatal(err)
	}
	return f
}

// linked is a reader whose power-up was told and whose next number is 3.
func linked(t *testing.T) *acu {
	a := &acu{t: t, pd: pd.New(pd.Config{Serial: 1})}
	a.send(0, pd.CmdID, 0)
	a.send(1, pd.CmdPoll)
	a.send(2, pd.CmdPoll)
	return a
}

func wantCode(t *testing.T, f pd.Frame, code byte, data ...byte) {
	t.Helper()
	if f.Code != code || !bytes.Equal(f.Data, data) {
		t.Fatalf("got %#x % x, want %#x % x", f.Code, f.Data, code, data)
	}
}

func TestPowerUpIsTold(t *testing.T) {
	a := &acu{t: t, pd: pd.New(pd.Config{Serial: 1})}
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyNak, 4) // before seq 0
	wantCode(t, a.send(0, pd.CmdPoll), pd.ReplyLStatR, 0, 1)
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyLStatR, 0, 0)
	wantCode(t, a.send(2, pd.CmdPoll), pd.ReplyAck)
}

func TestSequence(t *testing.T) {
	a := linked(t)
	card, err := cards.Encode("h10301", 12, 12345)
	if err != nil {
		t.Fatal(err)
	}
	a.pd.Card(card)
	raw := []byte{0, 1, 26, 0, 0x06, 0x18, 0x1c, 0xc0}
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyRaw, raw...)
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyRaw, raw...) // repeat: the cached reply
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyAck)         // told once only
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyNak, 4)      // 2 was due
	wantCode(t, a.send(2, pd.CmdPoll), pd.ReplyAck)         // the number did not move
	wantCode(t, a.send(0, pd.CmdPoll), pd.ReplyAck)         // starts over
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyAck)
	if a.pd.Counts.SeqErrors != 1 || a.pd.Counts.Repeats != 1 {
		t.Errorf("counted %d sequence errors and %d repeats", a.pd.Counts.SeqErrors, a.pd.Counts.Repeats)
	}
}

func TestRepeatDoesNotActTwice(t *testing.T) {
	a := linked(t)
	buz := []byte{0, 2, 1, 1, 3}
	a.send(3, pd.CmdBuz, buz...)
	a.send(3, pd.CmdBuz, buz...)
	if l := a.pd.Look(0); l.Buzzes != 3 || l.BuzzCmds != 1 {
		t.Errorf("a repeated command sounded twice: %+v", l)
	}
}

func TestKeysAndTamper(t *testing.T) {
	a := linked(t)
	a.pd.Keys("12*#")
	a.pd.Tamper(true)
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyLStatR, 1, 0)
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyKeypad, 0, 4, '1', '2', 0x7F, 0x0D)
	wantCode(t, a.send(2, pd.CmdLStat), pd.ReplyLStatR, 1, 0)
	a.pd.Tamper(false)
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyLStatR, 0, 0)
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyAck)
}

func TestRefusals(t *testing.T) {
	a := linked(t)
	wantCode(t, a.send(3, 0x9F), pd.ReplyNak, 3)     // unknown
	wantCode(t, a.send(1, pd.CmdID), pd.ReplyNak, 2) // its data byte is missing
	wantCode(t, a.send(2, pd.CmdLED, 1, 2, 3), pd.ReplyNak, 2)
	wantCode(t, a.send(3, pd.CmdBuz), pd.ReplyNak, 2)
	b := a.pd.Handle(pd.Frame{Seq: 1, CRC: true, Security: []byte{3, 0x11, 0}, Code: 0x76, Data: make([]byte, 8)}, 0)
	f, err := pd.Decode(b[1:])
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, f, pd.ReplyNak, 5) // no Secure Channel
	if a.pd.Handle(pd.Frame{Addr: 5, Seq: 2, CRC: true, Code: pd.CmdPoll}, 0) != nil {
		t.Error("answered for another address")
	}
	if a.pd.Handle(pd.Frame{Reply: true, Seq: 2, CRC: true, Code: pd.ReplyAck}, 0) != nil {
		t.Error("answered a reply")
	}
}

func TestBusyThenDone(t *testing.T) {
	a := linked(t)
	a.pd.Busy(1)
	f := a.send(3, pd.CmdPoll)
	wantCode(t, f, pd.ReplyBusy)
	if f.Seq != 0 {
		t.Errorf("BUSY came with number %d, want 0", f.Seq)
	}
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyAck)
}

func TestPowerCycleLosesQueueAndLink(t *testing.T) {
	a := linked(t)
	a.pd.Keys("1")
	a.pd.PowerCycle()
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyNak, 4)
	wantCode(t, a.send(0, pd.CmdPoll), pd.ReplyLStatR, 0, 1)
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyLStatR, 0, 0)
	wantCode(t, a.send(2, pd.CmdPoll), pd.ReplyAck)
}

func TestQueueIsBounded(t *testing.T) {
	a := linked(t)
	for range pd.QueueLimit {
		if !a.pd.Keys("1") {
			t.Fatal("lost too early")
		}
	}
	if a.pd.Keys("1") || a.pd.Counts.EventsLost != 1 {
		t.Error("the queue has no end")
	}
}

func TestWhatThePersonSees(t *testing.T) {
	a := linked(t)
	const red, green = 1, 2
	// Permanently red, and green for 3 s from now.
	a.send(3, pd.CmdLED, 0, 0, 2, 1, 0, green, green, 30, 0, 1, 1, 0, red, red)
	for _, c := range []struct {
		at   time.Duration
		want string
		temp bool
	}{{0, "green", true}, {2999 * time.Millisecond, "green", true}, {3 * time.Second, "red", false}} {
		if l := a.pd.Look(c.at); l.LED != c.want || l.Temporary != c.temp {
			t.Errorf("at %v: %+v", c.at, l)
		}
	}
	// Red flashes, 200 ms each way.
	a.now = 10 * time.Second
	a.send(1, pd.CmdLED, 0, 0, 2, 2, 2, red, 0, 50, 0, 0, 0, 0, 0, 0)
	first, second := a.pd.Look(a.now), a.pd.Look(a.now+200*time.Millisecond)
	if first.LED != "red" || second.LED != "black" || !first.Blinking || first.Other != "black" {
		t.Errorf("flashing: %+v then %+v", first, second)
	}
	a.send(2, pd.CmdLED, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // cancel
	if l := a.pd.Look(a.now); l.LED != "red" || l.Blinking {
		t.Errorf("after cancel: %+v", l)
	}
}

func TestOnline(t *testing.T) {
	a := &acu{t: t, pd: pd.New(pd.Config{Serial: 1}), now: time.Minute}
	if a.pd.Online(a.now) {
		t.Error("online before the first command")
	}
	a.send(0, pd.CmdPoll)
	if !a.pd.Online(a.now+7*time.Second) || a.pd.Online(a.now+8*time.Second) {
		t.Error("offline comes after 8 s of silence")
	}
}

// FuzzDecode: what decodes, encodes back to the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add(unhex(f, "53 00 08 00 06 60 89 cc"))
	f.Add(unhex(f, "53 80 10 00 05 50 00 01 1a 00 a0 00 00 35 21 ee"))
	f.Add(pd.Frame{Addr: 1, Seq: 1, Security: []byte{2, 0x15}, Code: 0x60}.Encode()[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var s pd.Scanner
		s.Feed(b...)
		frame, err := pd.Decode(b)
		if err != nil {
			return
		}
		if b[4]&0xF0 != 0 {
			return // bits the protocol leaves unused are not kept
		}
		if got := frame.Encode()[1:]; !bytes.Equal(got, b) {
			t.Fatalf("% x became % x", b, got)
		}
		pd.New(pd.Config{Addr: frame.Addr}).Handle(frame, 0)
	})
}
