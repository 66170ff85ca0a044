package osdp_test

import (
	"errors"
	"sync"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
)

// reader models a PD from its own side of the wire. It shares no code with the
// driver: framing, CRC and sequence rules are written again from the
// specification, bit by bit where the driver uses tables.
type reader struct {
	mu       sync.Mutex
	addr     byte
	checksum bool          // answers and understands the one-byte checksum only
	delay    time.Duration // before each answer
	stall    time.Duration // before the next answer only
	out      bool          // unplugged
	deaf     int           // commands to ignore
	damage   int           // answers to damage
	twice    int           // answers to send twice
	busy     int           // commands to answer with BUSY
	lose     bool          // forget the sequence at the next command
	refuse   map[byte]byte // command → NAK reason
	tamper   bool
	status   bool // an LSTATR is to be reported
	events   []answer
	seq      int // of the last command; -1: only 0 is accepted
	cached   []byte
	heard    time.Time
	commands []command // everything acted upon
	repeats  int       // commands answered from the cache

	caps    []byte                // PDCAP; nil: the usual
	com     []byte                // the last COMSET
	match   func(slot int) []byte // BIOMATCHR for a slot, nil: nobody comes
	scanned []byte                // a result to be reported
	file    []byte                // received by FILETRANSFER
	hidden  secrets
}

type answer struct {
	code byte
	data []byte
}

type command struct {
	at   time.Time
	code byte
	seq  int
	data []byte
}

func newReader(addr byte) *reader { return &reader{addr: addr, seq: -1, refuse: map[byte]byte{}} }

func (r *reader) Present(c drivers.Card) {
	r.event(answer{0x50, append([]byte{0, 0, byte(c.Len()), byte(c.Len() >> 8)}, c.Bits()...)})
}

func (r *reader) Press(keys string) {
	for _, k := range []byte(keys) {
		switch k {
		case '#':
			k = 0x0D
		case '*':
			k = 0x7F
		}
		r.event(answer{0x53, []byte{0, 1, k}})
	}
}

func (r *reader) event(a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.out {
		r.events = append(r.events, a)
	}
}

func (r *reader) SetTamper(open bool) {
	r.set(func() { r.tamper, r.status = open, true })
}

func (r *reader) Plug(in bool) {
	r.set(func() { r.out, r.seq, r.cached, r.events, r.hidden.live = !in, -1, nil, nil, false })
}

func (r *reader) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *reader) seen() []command {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]command(nil), r.commands...)
}

func (r *reader) address() byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addr
}

// obey answers one command, f from SOM to the check; nil is silence.
func (r *reader) obey(f []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq := int(f[4] & 3)
	if time.Since(r.heard) > 8*time.Second {
		r.seq, r.hidden.live = -1, false
	}
	r.heard = time.Now()
	switch {
	case r.out:
		return nil
	case r.deaf > 0:
		r.deaf--
		return nil
	case r.busy > 0:
		r.busy--
		return r.frame(0, answer{0x79, nil})
	case r.lose:
		r.lose, r.seq, r.hidden.live = false, -1, false
		return r.frame(seq, answer{0x41, []byte{4}})
	case seq != 0 && seq == r.seq:
		r.repeats++
		return r.cached
	case seq != 0 && (r.seq < 0 || seq != r.seq%3+1):
		return r.frame(seq, answer{0x41, []byte{4}})
	}
	r.seq = seq
	if seq == 0 {
		r.hidden.live = false
	}
	check := 1 + int(f[4]>>2&1)
	scb, body := []byte(nil), f[5:len(f)-check]
	if f[4]&8 != 0 {
		scb, body = body[:body[0]], body[body[0]:]
	}
	code, data := body[0], body[1:]
	r.cached = r.secured(seq, f[:len(f)-check], scb, code, data)
	return r.cached
}

// note keeps a command that is acted upon.
func (r *reader) note(seq int, code byte, data []byte) {
	r.commands = append(r.commands, command{time.Now(), code, seq, append([]byte(nil), data...)})
}

func (r *reader) act(code byte, data []byte) answer {
	if why, no := r.refuse[code]; no {
		return answer{0x41, []byte{why}}
	}
	switch code {
	case 0x61:
		if len(data) != 1 {
			return answer{0x41, []byte{2}}
		}
		return answer{0x45, []byte{0xA0, 0xB1, 0xC2, 7, 1, 0x78, 0x56, 0x34, 0x12, 2, 3, 4}}
	case 0x62:
		if r.caps != nil {
			return answer{0x46, r.caps}
		}
		return answer{0x46, []byte{2, 1, 1, 4, 1, 1, 5, 1, 1, 8, 1, 0, 9, 1, 1}}
	case 0x64:
		r.status = false
		return r.statusAnswer()
	case 0x60:
		if r.status {
			r.status = false
			return r.statusAnswer()
		}
		if r.scanned != nil {
			a := answer{0x58, r.scanned}
			r.scanned = nil
			return a
		}
		if len(r.events) > 0 {
			a := r.events[0]
			r.events = r.events[1:]
			return a
		}
		return answer{0x40, nil}
	case 0x68, 0x69, 0x6A, 0x6B:
		return answer{0x40, nil}
	case 0x6E:
		r.com = data
		return answer{0x54, data}
	case 0x74: // reader, type, format, threshold, length 2, slot
		if len(data) != 8 || data[4] != 2 || data[5] != 0 {
			return answer{0x41, []byte{8}}
		}
		if r.match != nil {
			r.scanned = r.match(int(data[6])<<8 | int(data[7]))
		}
		return answer{0x40, nil}
	case 0xA2:
		r.scanned = nil
		return answer{0x40, nil}
	case 0x7C:
		r.file = append(r.file, data[11:]...)
		return answer{0x7A, []byte{0, 0, 0, 0, 0, 0, 0}}
	}
	return answer{0x41, []byte{3}}
}

func (r *reader) statusAnswer() answer {
	b := byte(0)
	if r.tamper {
		b = 1
	}
	return answer{0x48, []byte{b, 0}}
}

// frame builds an answer: no mark byte, as some readers send none.
func (r *reader) frame(seq int, a answer) []byte {
	return r.checked(r.body(seq, nil, a, 0))
}

// body is an answer without its check; room is what will come before that.
func (r *reader) body(seq int, scb []byte, a answer, room int) []byte {
	n := 5 + len(scb) + 1 + len(a.data) + room + 2
	ctrl := byte(seq) | 4
	if r.checksum {
		n, ctrl = n-1, byte(seq)
	}
	if scb != nil {
		ctrl |= 8
	}
	b := append([]byte{0x53, r.addr | 0x80, byte(n), byte(n >> 8), ctrl}, scb...)
	return append(append(b, a.code), a.data...)
}

func (r *reader) checked(b []byte) []byte {
	if r.checksum {
		sum := 0
		for _, x := range b {
			sum += int(x)
		}
		return append(b, byte(256-sum%256))
	}
	c := bitwiseCRC(b)
	return append(b, byte(c), byte(c>>8))
}

// bitwiseCRC is CRC-16/AUG-CCITT, one bit at a time.
func bitwiseCRC(b []byte) uint16 {
	c := uint16(0x1D0F)
	for _, x := range b {
		for i := 7; i >= 0; i-- {
			bit := c>>15 ^ uint16(x>>i&1)
			c <<= 1
			if bit == 1 {
				c ^= 0x1021
			}
		}
	}
	return c
}

// wire is the readers on one cable, run by one goroutine.
type wire struct {
	port    line.Port
	readers []*reader
	done    chan struct{}
	late    sync.WaitGroup // answers that come when their reader has stood still

	mu     sync.Mutex
	log    []onWire                            // guarded by mu: every command, as it was on the wire
	tamper func(command, answer []byte) []byte // guarded by mu: somebody between reader and controller
}

func (w *wire) setTamper(f func(command, answer []byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tamper = f
}

// heard is every command the wire carried.
func (w *wire) heard() []onWire {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]onWire(nil), w.log...)
}

// onWire is one command as the wire carried it.
type onWire struct {
	at    time.Time
	bytes []byte
}

func newWire(port line.Port, readers ...*reader) *wire {
	w := &wire{port: port, readers: readers, done: make(chan struct{})}
	go w.run()
	return w
}

func (w *wire) Close() {
	w.port.Close()
	<-w.done
	w.late.Wait()
}

func (w *wire) run() {
	defer close(w.done)
	var in []byte
	buf := make([]byte, 64)
	w.port.SetReadTimeout(line.NoTimeout)
	for {
		n, err := w.port.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		for len(in) > 0 && in[0] != 0x53 {
			in = in[1:]
		}
		if len(in) < 5 || len(in) < int(in[2])|int(in[3])<<8 {
			continue
		}
		size := int(in[2]) | int(in[3])<<8
		f := in[:size]
		in = in[size:]
		if err := w.answer(f); err != nil && !errors.Is(err, line.ErrGone) {
			return
		}
	}
}

func (w *wire) answer(f []byte) error {
	check := 1
	if f[4]&4 != 0 {
		check = 2
		if c := bitwiseCRC(f[:len(f)-2]); byte(c) != f[len(f)-2] || byte(c>>8) != f[len(f)-1] {
			return nil
		}
	}
	w.mu.Lock()
	w.log = append(w.log, onWire{time.Now(), append([]byte(nil), f...)})
	tamper := w.tamper
	w.mu.Unlock()
	for _, r := range w.readers {
		if f[1] != r.address() || r.checksum != (check == 1) {
			continue
		}
		out := r.obey(f)
		if tamper != nil {
			out = tamper(f, out)
		}
		if out == nil {
			return nil
		}
		return w.send(r, out)
	}
	return nil
}

func (w *wire) send(r *reader, out []byte) error {
	out = append([]byte(nil), out...)
	var delay, stall time.Duration
	again := false
	r.set(func() {
		delay, stall, r.stall = r.delay, r.stall, 0
		if r.damage > 0 {
			r.damage--
			out[len(out)/2] ^= 0x10
		}
		if r.twice > 0 {
			r.twice--
			again = true
		}
	})
	if stall > 0 { // this reader alone stands still; the others on the wire do not
		w.late.Go(func() {
			time.Sleep(stall)
			w.port.Write(out)
		})
		return nil
	}
	time.Sleep(delay)
	if _, err := w.port.Write(out); err != nil {
		return err
	}
	if again {
		_, err := w.port.Write(out)
		return err
	}
	return nil
}
