// Package hostsvc is our programs as services of the operating system: install,
// uninstall, start, stop and status through kardianos/service, with our own
// hardened systemd unit on Linux, and the conversation with the supervisor
// while running.
//
//	install ─▶ kardianos ─▶ systemd unit (ours) | Windows service manager
//	run     ─▶ Serve ─▶ READY=1, WATCHDOG=1 ─▶ systemd
//	                └─▶ service control handler ─▶ Windows
package hostsvc

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/kardianos/service"
)

// Spec names a service.
type Spec struct {
	Name     string // "sekimori-agent"
	Display  string // 関守 …
	About    string
	Unit     string // systemd unit as shipped; its ExecStart is replaced by the installed program's
	Users    string // sysusers.d text for the users and groups the unit names
	Settings string // path of the settings file
}

// controlled is what kardianos needs to see; running is done by Serve.
type controlled struct{}

func (controlled) Start(service.Service) error { return nil }
func (controlled) Stop(service.Service) error  { return nil }

func (s Spec) service() (service.Service, error) {
	settings, err := filepath.Abs(s.Settings)
	if err != nil {
		return nil, fmt.Errorf("settings path: %w", err)
	}
	args := []string{"run", "--settings", settings}
	svc, err := service.New(controlled{}, &service.Config{
		Name: s.Name, DisplayName: s.Display, Description: s.About, Arguments: args,
		Option: service.KeyValue{"SystemdScript": unitTemplate(s.Unit), "OnFailure": "restart", "OnFailureDelayDuration": "2s"},
	})
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", s.Name, err)
	}
	return svc, nil
}

// unitTemplate lets kardianos fill in where the program and its settings are,
// and nothing else: braces of our own do not occur in a unit.
func unitTemplate(unit string) string {
	lines := strings.Split(unit, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "ExecStart=") {
			lines[i] = "ExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}"
		}
	}
	return strings.Join(lines, "\n")
}

// Actions are the verbs of Control.
var Actions = []string{"install", "uninstall", "start", "stop", "restart"}

// Control does one of Actions.
func (s Spec) Control(action string) error {
	svc, err := s.service()
	if err != nil {
		return err
	}
	if action == "install" {
		if err := addUsers(s.Users); err != nil {
			return fmt.Errorf("install %s: %w", s.Name, err)
		}
	}
	if err := service.Control(svc, action); err != nil {
		return fmt.Errorf("%s %s: %w", action, s.Name, err)
	}
	return nil
}

// Status is "running", "stopped", "not installed" or "unknown".
func (s Spec) Status() (string, error) {
	svc, err := s.service()
	if err != nil {
		return "", err
	}
	st, err := svc.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		return "not installed", nil
	case err != nil:
		return "", fmt.Errorf("status of %s: %w", s.Name, err)
	case st == service.StatusRunning:
		return "running", nil
	case st == service.StatusStopped:
		return "stopped", nil
	}
	return "unknown", nil
}

// Supervisor is whoever started this program.
type Supervisor interface {
	Ready()
	Alive()
	Stopping()
}

// Serve runs the program under its supervisor until ctx ends or the supervisor
// asks it to stop.
func (s Spec) Serve(ctx context.Context, run func(context.Context, Supervisor) error) error {
	return serve(ctx, s.Name, run)
}
