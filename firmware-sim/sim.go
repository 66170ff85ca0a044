// Package sim is a pretend city of doors: OSDP readers on ptys, Wiegand readers
// and relays on lines, the physics of each door, and the people who come and go.
//
//	            ┌───────────── sekimori-sim ─────────────┐
//	person ─────┤ control: sim.sock, CLI, HTTP           │
//	or script   │    │                                   │
//	            │  world ── readers ── DC-31.bus0 (pty)  ├── program of DC-31
//	            │    │                 DC-31.lines       │
//	            │  doors (fire and REX wired past it)    ├── program of DC-21
//	            │                      DC-21.lines       │
//	            └────────────────────────────────────────┘
//
// It is the device side of each protocol, written without the drivers it is
// used to test. It needs no privileges and reaches no network; the control
// listens on a unix socket, and on a loopback port if asked.
package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"sekimori/firmware-sim/internal/api"
	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/place"
	"sekimori/firmware-sim/internal/site"
	"sekimori/firmware-sim/internal/world"
)

// Config is how one simulator runs.
type Config struct {
	Settings string       // path of sim.yaml
	Dir      string       // where its sockets, ptys and files are; made if missing
	Listen   string       // loopback address of the control, "127.0.0.1:8931"; "" for the socket alone
	Log      *slog.Logger // for operators
	Ready    func(Ready)  // called once everything answers; may be nil
}

// Ready tells where things are.
type Ready struct {
	Socket string // path of the control
	HTTP   string // "http://127.0.0.1:8931", "" if not asked for
	State  world.State
}

// SocketName is the control's socket in the directory.
const SocketName = "sim.sock"

// Run serves the city until ctx ends and returns nil then. It waits for all it
// started and removes its sockets and links. After a kill the next Run in the
// same directory replaces what was left, keeps leaves and fire alarms as they
// were, and energises no relay [T-40].
func Run(ctx context.Context, cfg Config) (err error) {
	s, err := site.Load(cfg.Settings)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	dir, err := place.Take(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	w, err := world.New(s, dir, cfg.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	listeners, err := control(dir, cfg.Listen)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.Run(ctx) })
	g.Go(func() error { return api.Serve(ctx, w, cfg.Log, listeners...) })
	if cfg.Ready != nil {
		r := Ready{Socket: dir.File(SocketName), State: w.State()}
		if len(listeners) > 1 {
			r.HTTP = "http://" + listeners[1].Addr().String()
		}
		cfg.Ready(r)
	}
	return g.Wait()
}

// control opens the control's socket, and its port if one is wanted.
func control(dir *place.Dir, addr string) ([]net.Listener, error) {
	if addr != "" {
		if err := api.Loopback(addr); err != nil {
			return nil, err
		}
	}
	l, err := dir.Listen(SocketName)
	if err != nil || addr == "" {
		return []net.Listener{l}, err
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the control: %w", err), l.Close())
	}
	return []net.Listener{l, tcp}, nil
}

// CheckSettings reads a settings file as Run would. The error lists every fault.
func CheckSettings(path string) error {
	_, err := site.Load(path)
	return err
}

// CardBits gives the bits of a card in the text form "26:06181cc0". For h10301
// that is an even parity bit over the first 12 of facility (8 bits) and id (16
// bits), those 24 bits, and an odd parity bit over the last 12, the most
// significant first; README shows one worked out. The hub enrols cards by the
// same mapping [T-22].
func CardBits(format string, facility, id uint64) (string, error) {
	b, err := cards.Encode(format, facility, id)
	if err != nil {
		return "", err
	}
	return b.Text(), nil
}
