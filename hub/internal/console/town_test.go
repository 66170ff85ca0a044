package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/hub/internal/console"
	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/policy"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

const (
	fixture  = "../../../configs/fixture/kanmori.yaml"
	password = "関所の番人は眠らない"
	device   = record.DeviceID("DC-31")
)

// town is a hub as far as the console sees it, with the real database, ledger,
// master data and registers of 関森市, and a console served over TLS.
type town struct {
	tb     testing.TB
	dir    string
	book   *ledger.Ledger
	auth   *pki.Authority
	seq    uint64
	epoch  record.Epoch
	orders []policy.Issue
	broken atomic.Pointer[error] // why nothing can be stored

	reports atomic.Int32 // of the content security policy

	// Of the running hub; start and stop replace them.
	db     *sqlite.Store
	people *people.Directory
	server *httptest.Server
	addr   string
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func newTown(tb testing.TB) *town {
	tb.Helper()
	w := &town{tb: tb, dir: tb.TempDir(), epoch: record.NewEpoch()}
	keys := filepath.Join(w.dir, "keys")
	if err := pki.Init(keys, pki.Options{Municipality: "関森市", HubName: "localhost", MQTTAddr: "localhost:8883"}); err != nil {
		tb.Fatal(err)
	}
	var err error
	if w.auth, err = pki.Open(keys); err != nil {
		tb.Fatal(err)
	}
	if w.book, err = ledger.New(w.auth.LogKey()); err != nil {
		tb.Fatal(err)
	}
	w.start()
	tb.Cleanup(w.stop)
	city, err := people.Load(fixture)
	if err != nil {
		tb.Fatal(err)
	}
	city.Credentials = nil // their PINs take seconds to stretch and are not looked at here
	reg := w.registry()
	if _, err := reg.Import(tb.Context(), city, people.Options{By: "P01", Via: "import"}); err != nil {
		tb.Fatal(err)
	}
	for _, login := range []string{"yamada", "takahashi", "yoshida"} {
		if err := reg.SetPassword(tb.Context(), login, password); err != nil {
			tb.Fatal(err)
		}
	}
	w.device(device, record.TimeSynced, clock.Now())
	w.settle()
	return w
}

func (w *town) registry() *people.Registry {
	return people.NewRegistry(w.db, w.book, w.auth.Sealer(), w.people, func() {})
}

// start opens the database and serves, on the same address as before.
func (w *town) start() {
	w.tb.Helper()
	var err error
	if w.db, err = sqlite.Open(context.Background(), filepath.Join(w.dir, "hub.db"), sqlite.Options{}); err != nil {
		w.tb.Fatal(err)
	}
	if w.people, err = people.NewDirectory(context.Background(), w.db); err != nil {
		w.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	projector := &register.Projector{Store: w.db, Log: quiet}
	w.done.Go(func() { _ = projector.Run(ctx) })
	handler, err := console.New(console.Config{
		Registers: register.Reader{Store: w.db}, Memory: w.db, Directory: w.people, Accounts: w.registry(),
		Recorder: w, Orders: w, Rights: console.RoomManagers{Directory: w.people}, Log: quiet, Stopping: ctx.Done(),
		Writable: func() error {
			if err := w.broken.Load(); err != nil {
				return *err
			}
			return nil
		},
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.server = httptest.NewUnstartedServer(w.reporting(handler))
	w.server.EnableHTTP2 = true
	w.server.Config.ErrorLog = slog.NewLogLogger(quiet.Handler(), slog.LevelInfo)
	if w.addr != "" {
		_ = w.server.Listener.Close()
		if w.server.Listener, err = net.Listen("tcp", w.addr); err != nil {
			w.tb.Fatal(err)
		}
	}
	w.server.StartTLS()
	w.addr = w.server.Listener.Addr().String()
}

// reporting makes browsers tell what the content security policy refuses.
func (w *town) reporting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/csp-report" {
			w.reports.Add(1)
			return
		}
		next.ServeHTTP(&reportingWriter{rw}, r)
	})
}

type reportingWriter struct{ http.ResponseWriter }

func (w *reportingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *reportingWriter) WriteHeader(code int) {
	if csp := w.Header().Get("Content-Security-Policy"); csp != "" && !strings.Contains(csp, "report-uri") {
		w.Header().Set("Content-Security-Policy", csp+"; report-uri /csp-report")
	}
	w.ResponseWriter.WriteHeader(code)
}

// stop ends everything, as a stop of the hub does.
func (w *town) stop() {
	w.cancel()
	w.server.CloseClientConnections()
	w.server.Close()
	w.done.Wait()
	if err := w.db.Close(); err != nil {
		w.tb.Errorf("close: %v", err)
	}
}

// settle waits until the registers show the whole ledger.
func (w *town) settle() {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		changed := w.db.Changed()
		var size int64
		if err := w.db.View(ctx, func(tx store.ReadTx) (err error) { size, err = tx.Size(); return err }); err != nil {
			w.tb.Fatal(err)
		}
		at, err := register.Reader{Store: w.db}.Cursor(ctx)
		if err != nil {
			w.tb.Fatal(err)
		}
		if at == size-1 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.tb.Fatal("the registers stay behind the ledger")
		}
	}
}

// Record is ingest's Record without its queue.
func (w *town) Record(ctx context.Context, facts []ledger.Fact) error {
	if err := w.broken.Load(); err != nil {
		return record.Fail(record.CodeStoreFailed, *err)
	}
	for n := range facts {
		r := &facts[n].Row
		r.Received, r.Quality, r.Basis = r.At, record.TimeSynced, []string{"000-10.1"}
	}
	return w.db.Update(ctx, func(tx store.Tx) error {
		_, err := w.book.Append(tx, facts)
		if err == nil {
			_, _, err = w.book.Seal(tx)
		}
		return err
	})
}

// IssueOrder keeps orders instead of sending them.
func (w *town) IssueOrder(_ context.Context, i policy.Issue) (uint64, error) {
	w.orders = append(w.orders, i)
	return uint64(len(w.orders)), nil
}

// event is a fact of a door, written down and shown.
func (w *town) event(kind record.Kind, body any, at time.Time) {
	w.tb.Helper()
	w.late(kind, body, at, at)
	w.settle()
}

func (w *town) late(kind record.Kind, body any, at, received time.Time) {
	w.tb.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.seq++
	e := record.Event{V: 1, Device: device, Epoch: w.epoch, Seq: w.seq, Wall: at.UTC(), Quality: record.TimeSynced, Kind: kind, Body: raw}
	b, err := e.Encode()
	if err != nil {
		w.tb.Fatal(err)
	}
	salt := record.NewSalt()
	row := ledger.Row{Kind: kind, At: at.UTC(), Quality: record.TimeSynced, Received: received.UTC(), Late: received.Sub(at) > time.Minute,
		Device: device, Epoch: w.epoch, Seq: w.seq, Event: record.Commitment(salt, b), Via: "agent", Basis: []string{"000-7.2", "000-10.1"}}
	if p, ok := body.(record.Passage); ok {
		if who, ok := w.people.Resolve(p.Person, at); ok {
			row.Who = &who
		}
	}
	err = w.db.Update(context.Background(), func(tx store.Tx) error {
		_, err := w.book.Append(tx, []ledger.Fact{{Row: row, Event: b, EventSalt: salt}})
		if err == nil {
			_, _, err = w.book.Seal(tx)
		}
		return err
	})
	if err != nil {
		w.tb.Fatal(err)
	}
}

func enters(person record.PersonID, card record.CredentialID) record.Passage {
	return record.Passage{Door: "D31", Room: "R31", Level: 3, Direction: record.DirectionIn, Reader: "D31-in", Grant: string(person),
		Person: person, Credential: card, Method: record.MethodCardPIN}
}

// device states how a controller is.
func (w *town) device(id record.DeviceID, q record.TimeQuality, seen time.Time) {
	w.tb.Helper()
	status, err := json.Marshal(record.Status{Quality: q, Version: "test", Policy: 2, JournalUse: 12,
		Readers: []record.ReaderInfo{{Reader: "D31-in", Door: "D31", Online: true}, {Reader: "D31-out", Door: "D31", Online: true}},
		Doors:   []record.DoorInfo{{Door: "D31", State: "locked"}}})
	if err != nil {
		w.tb.Fatal(err)
	}
	err = w.db.Update(context.Background(), func(tx store.Tx) error {
		return tx.PutDevice(store.DeviceState{Device: id, Status: status, SeenAt: seen.UTC(), Policy: 2, PolicyAck: 2})
	})
	if err != nil {
		w.tb.Fatal(err)
	}
}

// browser is a client with cookies that follows no redirect.
type browser struct {
	tb testing.TB
	w  *town
	*http.Client
}

func (w *town) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	transport := w.server.Client().Transport.(*http.Transport).Clone()
	w.tb.Cleanup(transport.CloseIdleConnections)
	return &browser{tb: w.tb, w: w, Client: &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signedIn is a browser somebody has signed in with.
func (w *town) signedIn(login string) *browser {
	w.tb.Helper()
	b := w.browser()
	if r, body := b.signIn(login, password); r.StatusCode != http.StatusSeeOther {
		w.tb.Fatalf("sign in: %s %s", r.Status, body)
	}
	return b
}

func (b *browser) signIn(login, password string) (*http.Response, string) {
	b.tb.Helper()
	return b.post("/signin", url.Values{"login": {login}, "password": {password}})
}

func (b *browser) get(path string) (*http.Response, string) {
	b.tb.Helper()
	return b.send(http.MethodGet, path, nil, nil)
}

// page is a GET that must succeed.
func (b *browser) page(path string) string {
	b.tb.Helper()
	r, body := b.get(path)
	if r.StatusCode != http.StatusOK {
		b.tb.Fatalf("GET %s: %s\n%s", path, r.Status, body)
	}
	return body
}

func (b *browser) post(path string, form url.Values) (*http.Response, string) {
	b.tb.Helper()
	return b.send(http.MethodPost, path, form, http.Header{"Sec-Fetch-Site": {"same-origin"}})
}

func (b *browser) send(method, path string, form url.Values, h http.Header) (*http.Response, string) {
	b.tb.Helper()
	r, err := http.NewRequestWithContext(b.tb.Context(), method, "https://"+b.w.addr+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.tb.Fatal(err)
	}
	for k, v := range h {
		r.Header[k] = v
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.Do(r)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.tb.Fatal(err)
	}
	return resp, string(body)
}

var errDiskFull = errors.New("disk full")
