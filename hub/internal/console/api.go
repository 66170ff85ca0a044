package console

import (
	"net/http"

	"sekimori/internal/clock"
)

// The API is the same rows as the pages, with the same filters, for the same
// session. It is described in web/static/openapi.yaml.

func (c *console) apiToday(w http.ResponseWriter, r *http.Request) error {
	t, err := c.today(r.Context(), clock.Now())
	if err == nil {
		writeJSON(w, http.StatusOK, t)
	}
	return err
}

func (c *console) apiOccupants(w http.ResponseWriter, r *http.Request) error {
	now := clock.Now()
	o, err := c.occupants(r.Context(), moment(r.URL.Query().Get("at"), now), now)
	if err == nil {
		writeJSON(w, http.StatusOK, o)
	}
	return err
}

func (c *console) apiStays(w http.ResponseWriter, r *http.Request) error {
	f := parseFilter(r.URL.Query())
	l, err := readPage(r.Context(), c, f, c.staySource(f, clock.Now()))
	if err == nil {
		writeJSON(w, http.StatusOK, l)
	}
	return err
}

func (c *console) apiDenials(w http.ResponseWriter, r *http.Request) error {
	f := parseFilter(r.URL.Query())
	l, err := readPage(r.Context(), c, f, c.denialSource(f, clock.Now()))
	if err == nil {
		writeJSON(w, http.StatusOK, l)
	}
	return err
}
