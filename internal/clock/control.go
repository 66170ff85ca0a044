package clock

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"time"
)

// Control is the simulator's hand on the clock that `simtime` builds follow: a
// file of two little-endian int64, nanoseconds to add to the wall clock and to
// the boot clock. A skew file holds one, for one computer's wall clock alone.
type Control struct {
	mu         sync.Mutex
	f          *os.File      // guarded by mu
	wall, mono time.Duration // guarded by mu
}

// NewControl creates the clock file at path, or takes over the one that is there.
func NewControl(path string) (*Control, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the simulated clock: %w", err)
	}
	c := &Control{f: f}
	var b [16]byte
	if n, _ := f.ReadAt(b[:], 0); n == len(b) {
		c.wall = time.Duration(binary.LittleEndian.Uint64(b[:8]))
		c.mono = time.Duration(binary.LittleEndian.Uint64(b[8:]))
		return c, nil
	}
	return c, c.writeLocked()
}

func (c *Control) writeLocked() error {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(c.wall))
	binary.LittleEndian.PutUint64(b[8:], uint64(c.mono))
	if _, err := c.f.WriteAt(b[:], 0); err != nil {
		return fmt.Errorf("move the simulated clock: %w", err)
	}
	return nil
}

// Now is the simulated wall clock.
func (c *Control) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.wall).Round(0)
}

// Set moves the wall clock to t. Moving forward is time passing, so the boot
// clock moves too; moving back changes the wall clock alone.
func (c *Control) Set(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := t.Sub(time.Now().Add(c.wall))
	c.wall += by
	if by > 0 {
		c.mono += by
	}
	return c.writeLocked()
}

// Advance lets d pass on both clocks.
func (c *Control) Advance(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
	c.mono += d
	return c.writeLocked()
}

// Close releases the file; programs that follow it keep their last reading.
func (c *Control) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.f.Close()
}

// WriteSkew makes the wall clock of the one computer that reads path wrong by d.
func WriteSkew(path string, d time.Duration) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(d))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open the clock skew: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b[:], 0); err != nil {
		return fmt.Errorf("write the clock skew: %w", err)
	}
	return nil
}
