package osdp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Commission gives the reader its own key, by hand, within a time limit of 1 s
// to 15 min, and logs that it did. Only in here does the public key of new
// readers count for anything, and only in here does a key travel.
//
// A reader that proves at once that it holds the key is left as it is; one with
// another key of ours (the settings') or the public key is given the new one and
// must then prove it. Errors are *ReaderError around ErrOffline, ErrOtherKey,
// ErrNoSecure, ErrKeyRefused (as *RefusedError), ErrNotKept, ErrDeadline and the
// like. After nil the reader is secure with the key; the caller writes it into
// the settings, or the next start will not know it.
func (b *Bus) Commission(ctx context.Context, reader string, key Key, within time.Duration) error {
	r, err := b.Reader(reader)
	if err != nil {
		return err
	}
	log := b.cfg.Log.With("reader", reader)
	log.Info("osdp: commissioning begins", "within", within)
	if err := r.commission(ctx, key, within); err != nil {
		log.Warn("osdp: commissioning failed", "err", err)
		return &ReaderError{reader, err}
	}
	log.Info("osdp: commissioning done: the reader has proven its key")
	return nil
}

func (r *Reader) commission(ctx context.Context, key Key, within time.Duration) error {
	if within < time.Second || within > 15*time.Minute {
		return ErrWithin
	}
	if err := key.Check(); err != nil {
		return err
	}
	// The link keeps the limit itself; this one is for a bus that gives it no turn.
	ctx, cancel := context.WithTimeoutCause(ctx, within+time.Second, ErrDeadline)
	defer cancel()
	_, err := r.act(ctx, func(id uint64, now time.Duration) Input {
		return Install{ID: id, Key: key, Until: now + within}
	})
	switch {
	case err == nil:
		r.mu.Lock()
		r.cfg.Key = &key
		r.mu.Unlock()
		return nil
	case errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == ErrDeadline:
		return ErrDeadline
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", ErrKeyRefused, err)
	}
	return err
}

// Do sends one command and returns the reader's answer, ACK included. It refuses
// what only this driver may send: the handshake and keys, and scans of a body
// (ErrNotAllowed) [T-23]. ErrAbsent: PDCAP says that the reader lacks this;
// *RefusedError: it said so itself; ErrOffline, ErrUnsure: the line.
func (r *Reader) Do(ctx context.Context, c Command) (Reply, error) {
	id := r.config().Reader
	switch c.Code() {
	case codeKeySet, codeChlng, codeSCrypt, codeBioRead, codeBioMatch, codeComSet:
		return nil, &ReaderError{id, ErrNotAllowed}
	}
	return r.do(ctx, c)
}

func (r *Reader) do(ctx context.Context, c Command) (Reply, error) {
	reply, err := r.act(ctx, func(id uint64, _ time.Duration) Input { return Ask{ID: id, Command: c} })
	if err != nil {
		return reply, &ReaderError{r.config().Reader, err}
	}
	return reply, nil
}

// Blink makes the reader's lamp and buzzer tell which one it is, for a minute or
// until on is false.
func (r *Reader) Blink(ctx context.Context, on bool) error {
	l := lamp(steadyRed, nil, 0)
	if on {
		l = lamp(steadyRed, &Blink{On: 2, Off: 2, OnColor: Green, OffColor: Red}, 600)
	}
	_, err := r.do(ctx, l)
	if !on || err != nil && !errors.Is(err, ErrAbsent) {
		return err
	}
	_, buz := r.do(ctx, Buz{Tone: 2, On: 1, Off: 4, Count: 10})
	if errors.Is(buz, ErrAbsent) || errors.As(buz, new(*RefusedError)) {
		return err // the lamp is enough; a reader with neither says so
	}
	return buz
}

// SetAddress gives the reader another address and baud, and returns what it says
// it has from now on. With the bus's own baud the conversation goes on at the
// new address; otherwise the reader is offline until the bus is opened anew. The
// caller changes the settings.
func (r *Reader) SetAddress(ctx context.Context, address byte, baud int) (Com, error) {
	id := r.config().Reader
	switch {
	case address > maxAddress || !slices.Contains(Bauds, baud):
		return Com{}, &ReaderError{id, fmt.Errorf("address %d, baud %d: want 0 to %d and one of %v", address, baud, maxAddress, Bauds)}
	case r.bus.taken(address, r):
		return Com{}, &ReaderError{id, fmt.Errorf("番地 %d は使用中 · address %d is another reader's", address, address)}
	}
	reply, err := r.do(ctx, ComSet{Address: address, Baud: uint32(baud)})
	if err != nil {
		return Com{}, err
	}
	com, ok := reply.(Com)
	if !ok || com.Address > maxAddress {
		return Com{}, &ReaderError{id, fmt.Errorf("%w: %s", ErrUnsure, nameOf(reply.Code(), true))}
	}
	r.bus.cfg.Log.Info("osdp: reader has a new address", "reader", id, "address", com.Address, "baud", com.Baud)
	r.mu.Lock()
	r.cfg.Address = com.Address
	r.mu.Unlock()
	r.bus.nudge()
	return com, nil
}

// taken tells that a reader other than r has the address.
func (b *Bus) taken(address byte, r *Reader) bool {
	for _, o := range b.readers {
		if o != r && o.config().Address == address {
			return true
		}
	}
	return false
}
