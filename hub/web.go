package hub

import (
	"context"
	"net/http"
)

// web is everything on the HTTPS port: enrolment for devices, and the console.
func (r *running) web(context.Context) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("/enrol/", r.enrolment())
	return mux, nil
}
