package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/internal/clock"
	"sekimori/internal/record"
	"sekimori/internal/settings"
)

// codeTTL is how long an enrolment code is good.
const codeTTL = 24 * time.Hour

// Imported tells what an import did.
type Imported struct {
	Changes  int      // items added, changed or ended
	Warnings []string // lawful, worth a look
}

// Import makes a city's file the present state, in the name of a person. It
// works on the running hub where there is one, and on its store otherwise.
func Import(ctx context.Context, s Settings, path string, by record.PersonID) (done Imported, err error) {
	city, err := people.Load(path) // faults are told with the file's own lines, before anything is asked
	if err != nil {
		return done, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return done, err
	}
	err = s.administer(ctx,
		func(c *core) error { done, err = c.importCity(ctx, city, by); return err },
		"/import", adminRequest{By: by, Name: path, Data: text}, &done)
	return done, err
}

func (c *core) importCity(ctx context.Context, city people.City, by record.PersonID) (Imported, error) {
	report, err := c.registry.Import(ctx, city, people.Options{By: by, Via: "import"})
	done := Imported{Changes: report.Added + report.Changed + report.Ended}
	for _, w := range report.Warnings {
		done.Warnings = append(done.Warnings, w.Item+": "+w.JA)
	}
	for _, item := range report.NotInFile {
		done.Warnings = append(done.Warnings, item+": ファイルにありませんが、登録は残っています。")
	}
	return done, err
}

// enrolCode issues a code in the name of somebody who is known.
func (c *core) enrolCode(ctx context.Context, device record.DeviceID, by record.PersonID) (string, error) {
	if _, known := c.people.Resolve(by, clock.Now()); !known {
		return "", fmt.Errorf("%q: %w; import people first and name one with --as", by, errUnknownPerson)
	}
	return c.members.NewCode(ctx, device, codeTTL, by)
}

// EnrolCode issues a single-use code for a device.
func EnrolCode(ctx context.Context, s Settings, device string, by record.PersonID) (code string, err error) {
	id, err := record.ParseDeviceID(device)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errDeviceName, err)
	}
	err = s.administer(ctx,
		func(c *core) error { code, err = c.enrolCode(ctx, id, by); return err },
		"/enrol-code", adminRequest{By: by, Name: device}, &code)
	return code, err
}

// SetPassword sets a console user's password.
func SetPassword(ctx context.Context, s Settings, user, password string) error {
	return s.administer(ctx,
		func(c *core) error { return c.registry.SetPassword(ctx, user, password) },
		"/password", adminRequest{Name: user, Data: []byte(password)}, nil)
}

// adminRequest is what commands ask of a running hub.
type adminRequest struct {
	By   record.PersonID `json:"by,omitempty"`
	Name string          `json:"name,omitempty"`
	Data []byte          `json:"data,omitempty"`
}

// administer asks the running hub, or does it on the store when none runs.
func (s Settings) administer(ctx context.Context, offline func(*core) error, path string, in adminRequest, out any) error {
	err := s.askRunning(ctx, path, in, out)
	if !errors.Is(err, errNotRunning) {
		return err
	}
	c, err := openCore(ctx, s, func() {})
	if err != nil {
		return err
	}
	return errors.Join(offline(c), c.close())
}

var errNotRunning = errors.New("no hub is running here")

func (s Settings) askRunning(ctx context.Context, path string, in adminRequest, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", s.admin())
		if err != nil {
			return nil, errors.Join(errNotRunning, err)
		}
		return c, nil
	}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://hub"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAdmin))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refusalOf(resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// refusal is why the running hub did not do what a command asked.
type refusal struct {
	Code     record.Code `json:"code,omitempty"`
	Sentence string      `json:"sentence,omitempty"`
	Cause    string      `json:"cause"`
}

func refusalOf(status string, answer []byte) error {
	var r refusal
	if err := json.Unmarshal(answer, &r); err != nil || r.Cause == "" {
		r.Cause = status
	}
	err := fmt.Errorf("the running hub: %s", r.Cause)
	if r.Code != "" {
		err = record.Fail(r.Code, err)
	}
	if r.Sentence != "" {
		err = told{err, r.Sentence}
	}
	return err
}

func refuse(w http.ResponseWriter, status int, err error) {
	r := refusal{Code: record.CodeOf(err), Cause: err.Error()}
	var t interface{ Sentence() string }
	if errors.As(Tell(err), &t) {
		r.Sentence = t.Sentence()
	}
	b, err := json.Marshal(r)
	if err != nil {
		b = nil // the status says it all
	}
	w.WriteHeader(status)
	_, _ = w.Write(b) // the command may have gone
}

const maxAdmin = 8 << 20

// serveAdmin serves commands of this machine. The socket lies in the state
// folder, which only the hub's user may enter; that is its whole protection.
func (r *running) serveAdmin(ctx context.Context) error {
	path := r.Settings.admin()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("command socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("command socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("command socket: %w", err), l.Close())
	}
	srv := &http.Server{Handler: r.adminRoutes(), ReadHeaderTimeout: headerWait, BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(l); ctx.Err() == nil {
		return fmt.Errorf("command socket: %w", err)
	}
	return nil
}

func (r *running) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /import", adminCall(func(ctx context.Context, in adminRequest) (any, error) {
		var city people.City
		if err := settings.Parse(in.Name, in.Data, &city); err != nil {
			return nil, err
		}
		done, err := r.importCity(ctx, city, in.By)
		if err != nil {
			return nil, err
		}
		// When the command returns, what it changed is on its way to the doors.
		return done, r.policies.Compile(ctx)
	}))
	mux.HandleFunc("POST /enrol-code", adminCall(func(ctx context.Context, in adminRequest) (any, error) {
		id, err := record.ParseDeviceID(in.Name)
		if err != nil {
			return nil, err
		}
		return r.enrolCode(ctx, id, in.By)
	}))
	mux.HandleFunc("POST /password", adminCall(func(ctx context.Context, in adminRequest) (any, error) {
		return nil, r.registry.SetPassword(ctx, in.Name, string(in.Data))
	}))
	return mux
}

func adminCall(do func(context.Context, adminRequest) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var in adminRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxAdmin)).Decode(&in); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		out, err := do(req.Context(), in)
		if err != nil {
			refuse(w, http.StatusUnprocessableEntity, err)
			return
		}
		b, err := json.Marshal(out)
		if err != nil {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
		_, _ = w.Write(b) // the command may have gone; what it asked for is done
	}
}

// hubFact is a fact of the hub's own, now.
func hubFact(kind record.Kind, actor *ledger.Resolved, via string, body any) ledger.Fact {
	raw, err := json.Marshal(body)
	if err != nil {
		raw = []byte(`{}`) // bodies are our own structs; they encode
	}
	now := clock.Now().UTC()
	return ledger.Fact{Row: ledger.Row{Kind: kind, At: now, Quality: record.TimeSynced, Received: now, Actor: actor, Via: via, Body: raw}}
}
