package fingerprint

import (
	"context"
	"fmt"
	"time"

	"sekimori/drivers/line"
)

// Bauds are the speeds a module can be set to, the likely ones first.
func Bauds() []int {
	bauds := []int{DefaultBaud, 115200, 9600, 19200, 38400}
	for n := 1; n <= 12; n++ {
		if b := n * baudUnit; b != bauds[0] && b != bauds[1] && b != bauds[2] && b != bauds[3] && b != bauds[4] {
			bauds = append(bauds, b)
		}
	}
	return bauds
}

// Probed is what a port answered.
type Probed struct {
	Bound      bool       // the module has a password of its own
	Parameters Parameters // zero when it is bound: it tells them to its host alone
}

// Probe asks the open port whether a module of DefaultAddress is there, as an
// installer does once for each of Bauds: any well-formed answer to VfyPwd with
// the factory's password is one. It changes nothing in the module, takes at most
// two seconds, and closes the port when ctx ends first. ErrOffline means that
// nothing answered like a module.
func Probe(ctx context.Context, port line.Port) (Probed, error) {
	a, err := ask(ctx, port, VerifyPassword(factory))
	if err != nil {
		return Probed{}, err
	}
	if a.Code != OK {
		return Probed{Bound: a.Code == WrongPassword}, nil
	}
	if a, err = ask(ctx, port, ReadParameters()); err != nil {
		return Probed{}, err
	}
	p, err := a.Parameters()
	if err != nil {
		return Probed{}, fmt.Errorf("fingerprint: %w", err)
	}
	return Probed{Parameters: p}, nil
}

// ask is one command and its answer, tried twice.
func ask(ctx context.Context, port line.Port, c Command) (Answer, error) {
	stop := context.AfterFunc(ctx, func() { port.Close() })
	defer stop()
	var err error
	for range 2 {
		var a Answer
		if a, err = askOnce(port, c); err == nil || ctx.Err() != nil {
			return a, ctx.Err()
		}
	}
	return Answer{}, fmt.Errorf("fingerprint: %w: %w", ErrOffline, err)
}

func askOnce(port line.Port, c Command) (Answer, error) {
	if _, err := port.Write(c.Packet(DefaultAddress).Append(nil)); err != nil {
		return Answer{}, err
	}
	var scan Scanner
	var buf [64]byte
	for deadline := time.Now().Add(c.Window()); ; {
		left := time.Until(deadline)
		if err := port.SetReadTimeout(max(left, 0)); err != nil {
			return Answer{}, err
		}
		n, err := port.Read(buf[:])
		if err != nil {
			return Answer{}, err
		}
		scan.Feed(buf[:n])
		for p, ok := scan.Next(); ok; p, ok = scan.Next() {
			if a, err := ParseAnswer(c, p); err == nil && p.Address == DefaultAddress {
				return a, nil
			}
		}
		if left <= 0 || n == 0 {
			return Answer{}, fmt.Errorf("no answer to %v", c)
		}
	}
}
