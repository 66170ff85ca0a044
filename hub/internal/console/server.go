package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// policyCSP lets a page load nothing but this host's own files, run no inline
// script or style, be framed nowhere and post nowhere else.
const policyCSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// maxForm bounds a posted form.
const maxForm = 64 << 10

// page answers a request, or returns the error it failed with.
type page func(w http.ResponseWriter, r *http.Request) error

// routes is the whole of what the console answers.
func (c *console) routes() http.Handler {
	mux := http.NewServeMux()
	open := func(pattern string, p page) { mux.Handle(pattern, c.session(c.answer(p))) }
	read := func(pattern string, p page) { mux.Handle(pattern, c.session(c.signedIn(c.answer(p)))) }

	open("GET /signin", c.signInForm)
	open("POST /signin", c.signIn)
	read("POST /signout", c.signOut)
	read("GET /{$}", c.todayPage)
	read("GET /occupants", c.occupantsPage)
	read("GET /registers/entry", c.staysPage)
	read("GET /registers/entry/{room}/{year}/{number}", c.stayPage)
	read("POST /registers/entry/{room}/{year}/{number}/close", c.closeStay)
	read("GET /registers/entry/new", c.entryForm)
	read("POST /registers/entry/new", c.enterByHand)
	read("GET /registers/denials", c.denialsPage)
	read("GET /registers/denials/{series}/{year}/{number}", c.denialPage)
	read("GET /doors", c.doorsPage)
	read("POST /doors/{door}/{act}", c.orderDoor)
	read("GET /api/v1/today", c.apiToday)
	read("GET /api/v1/occupants", c.apiOccupants)
	read("GET /api/v1/registers/entry", c.apiStays)
	read("GET /api/v1/registers/denials", c.apiDenials)
	read("/", c.notFound)

	mux.Handle("GET /live/entry", c.stream(c.streamStays))
	mux.Handle("GET /live/denials", c.stream(c.streamDenials))
	mux.Handle("GET /live/today", c.stream(c.streamToday))
	mux.Handle("GET /live/occupants", c.stream(c.streamOccupants))
	mux.Handle("GET /static/", c.static())
	mux.Handle("GET /api/openapi.yaml", c.static())
	mux.Handle("GET /livez", c.answer(c.livez))
	mux.Handle("GET /readyz", c.answer(c.readyz))

	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(c.answer(func(w http.ResponseWriter, r *http.Request) error {
		return c.problem(w, r, http.StatusForbidden, "ほかのサイトからの操作は受け付けません。この画面を開き直して、もう一度操作してください。")
	}))
	return headers(origin.Handler(mux))
}

// headers are on every answer.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policyCSP)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// "no-referrer" would make browsers send "Origin: null" with our own forms.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), usb=(), serial=()")
		h.Set("Cache-Control", "no-store") // what is shown is personal data
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// session loads who is signed in, if anybody, and counts the request as use.
func (c *console) session(next http.Handler) http.Handler {
	c.sessions.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) { c.fail(w, r, err) }
	return c.sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // scs adds its own
		if v, ok := c.visitor(c.sessions.GetString(r.Context(), userKey), clock.Now()); ok {
			r = r.WithContext(context.WithValue(r.Context(), visitorKey{}, v))
		}
		next.ServeHTTP(w, r)
	}))
}

// signedIn sends strangers to the sign-in page, and programs their status.
func (c *console) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case visitorOf(r.Context()).Login != "":
			next.ServeHTTP(w, r)
		case isAPI(r):
			writeProblem(w, http.StatusUnauthorized, "サインインしてください。", "Sign in first.")
		case r.Method == http.MethodGet:
			http.Redirect(w, r, "/signin?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
		default:
			http.Redirect(w, r, "/signin", http.StatusSeeOther)
		}
	})
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// answer runs a page and says what went wrong, once, to people and to the log.
func (c *console) answer(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p(w, r); err != nil {
			c.fail(w, r, err)
		}
	})
}

// fail tells people what they can do and operators what happened.
func (c *console) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody is listening
	}
	status, text := http.StatusInternalServerError, "画面を表示できませんでした。時間をおいて開き直してください。続くときはシステム管理者に連絡してください。"
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, store.ErrNotFound):
		status, text = http.StatusNotFound, "指定の行はありません。一覧から選び直してください。"
	case errors.Is(err, ErrMayNot):
		status, text = http.StatusForbidden, "この室の入退室管理者だけが行えます。入退室管理者に依頼してください。"
	case errors.As(err, &tooLarge):
		status, text = http.StatusRequestEntityTooLarge, "入力が長すぎます。短くして、もう一度送信してください。"
	case record.CodeOf(err) == record.CodeStoreFailed || errors.Is(err, store.ErrFull):
		status, text = http.StatusServiceUnavailable, string(record.CodeStoreFailed)+" 記録を保存できないため、操作は行われていません。"+record.CodeStoreFailed.Text().JA
	}
	if status >= 500 {
		c.Log.Error("request failed", "path", r.URL.Path, "status", status, "err", err)
	} else {
		c.Log.Info("request refused", "path", r.URL.Path, "status", status, "err", err)
	}
	if isAPI(r) {
		writeProblem(w, status, text, http.StatusText(status))
		return
	}
	if err := c.problem(w, r, status, text); err != nil {
		c.Log.Error("error page failed", "err", err)
		http.Error(w, text, status)
	}
}

func (c *console) notFound(w http.ResponseWriter, r *http.Request) error {
	if isAPI(r) {
		writeProblem(w, http.StatusNotFound, "その宛先はありません。/api/openapi.yaml を見てください。", "No such address. See /api/openapi.yaml.")
		return nil
	}
	return c.problem(w, r, http.StatusNotFound, "そのページはありません。上の見出しから選び直してください。")
}

// problem is a page that says what is wrong and leads on.
func (c *console) problem(w http.ResponseWriter, r *http.Request, status int, text string) error {
	return c.show(w, r, status, "problem", "お知らせ", text)
}

func writeProblem(w http.ResponseWriter, status int, ja, en string) {
	writeJSON(w, status, record.Problem{JA: ja, EN: en})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(v)
}

// livez answers while the process serves.
func (c *console) livez(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// readyz is false while nothing can be stored: what arrives then is not
// receipted, and people must know.
func (c *console) readyz(w http.ResponseWriter, r *http.Request) error {
	if err := c.Writable(); err != nil {
		c.Log.Warn("not ready", "err", err)
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "store not writable"})
		return nil
	}
	if err := c.Memory.View(r.Context(), func(tx store.ReadTx) error { _, err := tx.Size(); return err }); err != nil {
		c.Log.Warn("not ready", "err", err)
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "store not readable"})
		return nil
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// may is Rights.May for the visitor of a request.
func (c *console) may(r *http.Request, act Act, room record.RoomCode) (Actor, error) {
	a, err := c.Rights.May(visitorOf(r.Context()).Who.Person, act, room, clock.Now())
	if err != nil {
		return a, fmt.Errorf("%s: %w", visitorOf(r.Context()).Login, err)
	}
	return a, nil
}
