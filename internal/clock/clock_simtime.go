//go:build simtime

package clock

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"time"
)

// Simulated tells whether this build follows the simulator's clock.
const Simulated = true

// EnvTime names the file of the simulator's clock (see Control) and EnvSkew the
// file that holds how wrong this one computer's wall clock is. Both are read at
// every reading, so a test can move them under a running program.
const (
	EnvTime = "SEKIMORI_SIMTIME"
	EnvSkew = "SEKIMORI_SIMTIME_SKEW"
)

// Env names the variables by which a program is shown its clock: a program that
// starts another passes them on.
func Env() []string { return []string{EnvTime, EnvSkew} }

// poll is how often timers look whether simulated time has passed them.
const poll = 2 * time.Millisecond

type offsets struct{ wall, mono time.Duration }

var files struct {
	once       sync.Once
	time, skew *os.File
}

func open(env string) *os.File {
	path := os.Getenv(env)
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		panic(fmt.Sprintf("simtime build: %s: %v", env, err))
	}
	return f
}

func read() offsets {
	files.once.Do(func() { files.time, files.skew = open(EnvTime), open(EnvSkew) })
	var o offsets
	var b [16]byte
	if files.time != nil {
		if n, _ := files.time.ReadAt(b[:], 0); n == len(b) {
			o.wall = time.Duration(binary.LittleEndian.Uint64(b[:8]))
			o.mono = time.Duration(binary.LittleEndian.Uint64(b[8:]))
		}
	}
	if files.skew != nil {
		if n, _ := files.skew.ReadAt(b[:8], 0); n == 8 {
			o.wall += time.Duration(binary.LittleEndian.Uint64(b[:8]))
		}
	}
	return o
}

func now() time.Time      { return time.Now().Add(read().wall) }
func mono() time.Duration { return bootTime() + read().mono }

// Timer fires when simulated time has passed it.
type Timer struct {
	C    <-chan time.Time
	c    chan time.Time
	mu   sync.Mutex
	stop chan struct{} // guarded by mu; closed to end the waiting goroutine
}

// NewTimer fires once after d.
func NewTimer(d time.Duration) *Timer {
	c := make(chan time.Time, 1)
	t := &Timer{C: c, c: c}
	t.Reset(d)
	return t
}

// Stop prevents the timer from firing; it may be called more than once.
func (t *Timer) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopLocked()
}

func (t *Timer) stopLocked() {
	if t.stop != nil {
		close(t.stop)
		t.stop = nil
	}
	select {
	case <-t.c:
	default:
	}
}

// Reset arms the timer again for d from now; a value not yet received is dropped.
func (t *Timer) Reset(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopLocked()
	t.stop = make(chan struct{})
	go t.wait(mono()+d, t.stop)
}

func (t *Timer) wait(due time.Duration, stop chan struct{}) {
	for mono() < due {
		select {
		case <-stop:
			return
		case <-time.After(min(poll, max(due-mono(), 0))):
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop == stop {
		t.c <- now()
		t.stop = nil
	}
}
