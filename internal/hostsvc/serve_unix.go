//go:build !windows

package hostsvc

import (
	"context"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
)

// systemd is spoken to through NOTIFY_SOCKET; without one, nothing is said.
type systemd struct{}

func (systemd) Ready()    { tell(daemon.SdNotifyReady) }
func (systemd) Alive()    { tell(daemon.SdNotifyWatchdog) }
func (systemd) Stopping() { tell(daemon.SdNotifyStopping) }

func tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		slog.Warn("service manager not told", "state", state, "err", err)
	}
}

func serve(ctx context.Context, _ string, run func(context.Context, Supervisor) error) error {
	defer context.AfterFunc(ctx, systemd{}.Stopping)()
	return run(ctx, systemd{})
}
