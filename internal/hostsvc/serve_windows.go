package hostsvc

import (
	"context"
	"fmt"

	"golang.org/x/sys/windows/svc"
)

// serve speaks with the service manager when it started us, and runs plainly
// otherwise. The handler is our own, because kardianos' hears of no shutdown
// phase (terminal sessions and power events come with the terminal role).
func serve(ctx context.Context, name string, run func(context.Context, Supervisor) error) error {
	isService, err := svc.IsWindowsService()
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	if !isService {
		return run(ctx, quiet{})
	}
	h := &handler{ctx: ctx, run: run}
	if err := svc.Run(name, h); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return h.err
}

type quiet struct{}

func (quiet) Ready()    {}
func (quiet) Alive()    {}
func (quiet) Stopping() {}

type handler struct {
	ctx context.Context
	run func(context.Context, Supervisor) error
	err error
}

// ready tells the service manager once.
type ready struct {
	quiet
	c chan struct{}
}

func (r ready) Ready() { close(r.c) }

// Execute implements svc.Handler. It returns when run has, so that a failure
// inside ends the process and the manager's recovery starts it again.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	const accepts = svc.AcceptStop | svc.AcceptShutdown | svc.AcceptPreShutdown
	status <- svc.Status{State: svc.StartPending}
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	up, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- h.run(ctx, ready{c: up}) }()
	for {
		select {
		case <-up:
			up = nil
			status <- svc.Status{State: svc.Running, Accepts: accepts}
		case h.err = <-done:
			if h.err != nil {
				return true, 1
			}
			return false, 0
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown, svc.PreShutdown:
				status <- svc.Status{State: svc.StopPending}
				cancel()
			}
		}
	}
}
