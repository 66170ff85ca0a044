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
	r.set(func() { r.out, r.seq, r.cached, r.events = !in, -1, nil, nil })
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

// obey answers one command; nil is silence.
func (r *reader) obey(seq int, code byte, data []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.heard) > 8*time.Second {
		r.seq = -1
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
		r.lose, r.seq = false, -1
		return r.frame(seq, answer{0x41, []byte{4}})
	case seq != 0 && seq == r.seq:
		r.repeats++
		return r.cached
	case seq != 0 && (r.seq < 0 || seq != r.seq%3+1):
		return r.frame(seq, answer{0x41, []byte{4}})
	}
	r.seq = seq
	r.commands = append(r.commands, command{time.Now(), code, seq, append([]byte(nil), data...)})
	r.cached = r.frame(seq, r.act(code, data))
	return r.cached
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
		return answer{0x46, []byte{4, 1, 1, 5, 1, 1, 8, 1, 0}}
	case 0x64:
		r.status = false
		return r.statusAnswer()
	case 0x60:
		if r.status {
			r.status = false
			return r.statusAnswer()
		}
		if len(r.events) > 0 {
			a := r.events[0]
			r.events = r.events[1:]
			return a
		}
		return answer{0x40, nil}
	case 0x69, 0x6A:
		return answer{0x40, nil}
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
	n := 5 + 1 + len(a.data) + 2
	ctrl := byte(seq) | 4
	if r.checksum {
		n, ctrl = n-1, byte(seq)
	}
	b := append([]byte{0x53, r.addr | 0x80, byte(n), byte(n >> 8), ctrl, a.code}, a.data...)
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
}

func newWire(port line.Port, readers ...*reader) *wire {
	w := &wire{port: port, readers: readers, done: make(chan struct{})}
	go w.run()
	return w
}

func (w *wire) Close() {
	w.port.Close()
	<-w.done
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
	for _, r := range w.readers {
		if f[1] != r.addr || r.checksum != (check == 1) {
			continue
		}
		out := r.obey(int(f[4]&3), f[5], f[6:len(f)-check])
		if out == nil {
			return nil
		}
		return w.send(r, out)
	}
	return nil
}

func (w *wire) send(r *reader, out []byte) error {
	out = append([]byte(nil), out...)
	var delay time.Duration
	again := false
	r.set(func() {
		delay = r.delay
		if r.damage > 0 {
			r.damage--
			out[len(out)/2] ^= 0x10
		}
		if r.twice > 0 {
			r.twice--
			again = true
		}
	})
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
