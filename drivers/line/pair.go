package line

import (
	"sync"
	"time"
)

// Pair is a cable in memory: what one end writes the other end reads, at once.
// Time-outs behave as a serial port's do: (0, nil) when the time has passed.
// It works under testing/synctest.
func Pair() (Port, Port) { return PairAt(0) }

// PairAt is a Pair whose bytes take their time on the wire: 10 bits each at
// baud bits a second, one after the other. Write returns at once, as it does
// from a UART's buffer.
func PairAt(baud int) (Port, Port) {
	var char time.Duration
	if baud > 0 {
		char = 10 * time.Second / time.Duration(baud)
	}
	ab, ba := newWire(char), newWire(char)
	return &end{rx: ba, tx: ab, timeout: NoTimeout}, &end{rx: ab, tx: ba, timeout: NoTimeout}
}

type arrival struct {
	b  byte
	at time.Time
}

// wire is one direction of the cable.
type wire struct {
	char  time.Duration
	stir  chan struct{} // one slot: something changed for the reader
	mu    sync.Mutex
	queue []arrival // guarded by mu
	gone  bool      // guarded by mu: the writer closed
	shut  bool      // guarded by mu: the reader closed
}

func newWire(char time.Duration) *wire {
	return &wire{char: char, stir: make(chan struct{}, 1)}
}

func (w *wire) wake() {
	select {
	case w.stir <- struct{}{}:
	default:
	}
}

func (w *wire) write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return 0, ErrClosed
	}
	if w.shut {
		return 0, ErrGone
	}
	at := time.Now()
	if n := len(w.queue); n > 0 && w.queue[n-1].at.After(at) {
		at = w.queue[n-1].at
	}
	for _, b := range p {
		at = at.Add(w.char)
		w.queue = append(w.queue, arrival{b, at})
	}
	w.wake()
	return len(p), nil
}

// take moves what has arrived into p. Otherwise it tells how long the next byte
// still travels (negative: none is on the way).
func (w *wire) take(p []byte) (n int, wait time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return 0, 0, ErrClosed
	}
	now := time.Now()
	for n < len(p) && n < len(w.queue) && !w.queue[n].at.After(now) {
		p[n] = w.queue[n].b
		n++
	}
	w.queue = w.queue[n:]
	switch {
	case n > 0:
		return n, 0, nil
	case len(w.queue) > 0:
		return 0, w.queue[0].at.Sub(now), nil
	case w.gone:
		return 0, 0, ErrGone
	}
	return 0, -1, nil
}

type end struct {
	rx, tx  *wire
	timeout time.Duration // owned by the reading goroutine
}

func (e *end) Write(p []byte) (int, error) { return e.tx.write(p) }

func (e *end) SetReadTimeout(d time.Duration) error {
	e.timeout = d
	return nil
}

func (e *end) Read(p []byte) (int, error) {
	began := time.Now()
	for {
		n, wait, err := e.rx.take(p)
		if n > 0 || err != nil {
			return n, err
		}
		left := e.timeout - time.Since(began)
		if e.timeout >= 0 && left <= 0 {
			return 0, nil
		}
		if e.timeout >= 0 && (wait < 0 || left < wait) {
			wait = left
		}
		e.rx.await(wait)
	}
}

// await returns when something changed or d has passed; a negative d has no end.
func (w *wire) await(d time.Duration) {
	if d < 0 {
		<-w.stir
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.stir:
	case <-t.C:
	}
}

func (e *end) Close() error {
	for _, w := range []*wire{e.rx, e.tx} {
		w.mu.Lock()
		if w == e.rx {
			w.shut = true
		} else {
			w.gone = true
		}
		w.wake()
		w.mu.Unlock()
	}
	return nil
}
