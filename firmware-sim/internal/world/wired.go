package world

import (
	"context"
	"crypto/rand"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/site"
	"sekimori/firmware-sim/internal/uart"
)

// wired is a serial line with one module at its end.
type wired struct {
	name string
	port *bus.Pty
	line *uart.Line
}

func (w *World) wire(ctl *controller, r site.Reader, d uart.Device) (wired, error) {
	port, err := bus.OpenPty(w.dir.File(ctl.id + "." + r.Port))
	if err != nil {
		return wired{}, err
	}
	cfg := uart.Config{Baud: r.Speed(), Unpaced: !r.Paced, Think: think, Log: w.log}
	return wired{r.Port, port, uart.New(cfg, port, d)}, nil
}

const noiseLimit = 4096

func (m *wired) noise(ctx context.Context, n int) {
	b := make([]byte, min(n, noiseLimit))
	rand.Read(b)
	m.line.Noise(ctx, b)
}
