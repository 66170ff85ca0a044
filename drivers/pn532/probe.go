package pn532

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekimori/drivers/line"
)

// probeLimit is how long a module may take to say what it is: three wake-ups
// and a version. probeLook is how soon the end of a context is noticed.
const (
	probeLimit = time.Second
	probeLook  = 50 * time.Millisecond
)

// ErrNoModule is a port where no PN532 answers.
var ErrNoModule = errors.New("no PN532 answers")

// Probe asks what is at an open port and leaves it open. It takes a tenth of a
// second with a PN532, and up to a second without. A port that fails is its own
// error.
func Probe(ctx context.Context, port line.Port) (Firmware, error) {
	var (
		link  = NewLink(Config{Reader: "probe"})
		scan  Scanner
		buf   [256]byte
		began = time.Now()
		now   = func() time.Duration { return time.Since(began) }
	)
	step := func(in Input) error {
		var e Effects
		link, e = link.Step(in, now())
		if len(e.Send) == 0 {
			return nil
		}
		_, err := port.Write(e.Send)
		return err
	}
	err := step(Opened{})
	for err == nil && now() < probeLimit {
		if err := ctx.Err(); err != nil {
			return Firmware{}, err
		}
		if about := link.About(); about.IsPN532() {
			return about, nil
		}
		if err = port.SetReadTimeout(min(max(link.Due()-now(), 0), probeLook)); err != nil {
			break
		}
		var n int
		if n, err = port.Read(buf[:]); err != nil {
			break
		}
		if n == 0 && now() >= link.Due() {
			scan.Reset()
			err = step(Tick{})
			continue
		}
		scan.Feed(buf[:n])
		for f, ok := scan.Next(); ok && err == nil; f, ok = scan.Next() {
			err = step(Heard{f})
		}
	}
	if err != nil {
		return Firmware{}, fmt.Errorf("probe for a PN532: %w", err)
	}
	return Firmware{}, fmt.Errorf("%w: %s", ErrNoModule, link.Health().Detail)
}
