package hub

import (
	"context"
	"net/http"

	"sekimori/hub/internal/console"
	"sekimori/hub/internal/register"
)

// web is everything on the HTTPS port: enrolment for devices, the console for
// people.
func (r *running) web(ctx context.Context) (http.Handler, error) {
	pages, err := console.New(console.Config{
		Registers: register.Reader{Store: r.store},
		Memory:    r.store,
		Directory: r.people,
		Accounts:  r.registry,
		Recorder:  r.ingest,
		Orders:    r.policies,
		Rights:    console.RoomManagers{Directory: r.people},
		Log:       r.Log.With("part", "console"),
		Writable:  func() error { return r.ingest.Health().Err },
		Stopping:  ctx.Done(),
		Presence:  r.Settings.Thresholds.Fresh.D(),
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/enrol/", r.enrolment())
	mux.Handle("/", pages)
	return mux, nil
}
