//go:build !linux

package gpio

import (
	"context"
	"errors"

	"sekimori/drivers"
)

func openKernel(context.Context, Config) (drivers.Lines, error) {
	return nil, errors.New("gpio: kernel lines exist on Linux only; use the simulator's")
}
