package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/problem"
	"sekimori/firmware-sim/internal/world"
)

// City is what the control acts on.
type City interface {
	Readers
	Contactless
	Faults
	Doors
	Watcher
}

// Readers is what can happen at a reader.
type Readers interface {
	Card(reader string, b cards.Bits) (monoNS int64, err error)
	Keys(reader, keys string) (monoNS int64, err error)
	Cable(reader string, in bool) error
	ReaderTamper(reader string, open bool) error
	Cards() *cards.Table
}

// Doors is what can happen to a door and to the clock.
type Doors interface {
	Act(door string, in door.Input) error
	Fire(on bool, doors []string) error
	SetClock(time.Time) error
	AdvanceClock(time.Duration) error
	SkewClock(controller string, d time.Duration) error
}

// Watcher is what can be seen.
type Watcher interface {
	State() world.State
	Timeline(door string, after uint64) (world.Timeline, error)
	Events(ctx context.Context, after uint64, limit int) ([]world.Event, uint64)
	Wait(ctx context.Context, w world.Wanted) (bool, error)
}

const (
	maxBody   = 64 << 10
	maxWait   = 5 * time.Minute
	maxEvents = 1000
)

type server struct {
	city City
	log  *slog.Logger
}

// Serve answers on the listeners until ctx ends, and waits for requests that
// are under way.
func Serve(ctx context.Context, city City, log *slog.Logger, listeners ...net.Listener) error {
	s := &server{city: city, log: log}
	srv := &http.Server{Handler: guard(s.routes()), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		g.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve the control: %w", err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		return errors.Join(srv.Shutdown(grace), srv.Close())
	})
	return g.Wait()
}

// Loopback refuses a listening address that other machines could reach.
func Loopback(addr string) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsLoopback() {
		return fmt.Errorf("%q: the control listens on a loopback address only, for example 127.0.0.1:8931", addr)
	}
	return nil
}

// guard keeps web pages out: a browser on this machine sends a Host of its own
// making, and cannot send application/json to another origin unasked.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host != "localhost" && host != "sim" && (err != nil || !ip.IsLoopback()) {
			fail(w, problem.New(problem.Forbidden, "この宛先名では受け付けません。localhost か 127.0.0.1 を使ってください。", "not under this host name; use localhost or 127.0.0.1"))
			return
		}
		if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); r.Method == http.MethodPost && strings.TrimSpace(kind) != "application/json" {
			fail(w, problem.Body("本文は application/json で送ってください(curl では -H 'Content-Type: application/json' または --json)。",
				"send the body as application/json (curl: --json)"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) routes() http.Handler {
	m := http.NewServeMux()
	for pattern, h := range map[string]func(*http.Request) (any, error){
		"POST /v1/readers/{id}/card":   s.card,
		"POST /v1/readers/{id}/keys":   s.keys,
		"POST /v1/readers/{id}/remove": s.remove,
		"POST /v1/readers/{id}/cable":  s.cable,
		"POST /v1/readers/{id}/stall":  s.stall,
		"POST /v1/readers/{id}/noise":  s.noise,
		"POST /v1/readers/{id}/fault":  s.fault,
		"POST /v1/readers/{id}/tamper": s.readerTamper,
		"POST /v1/readers/{id}/wipe":   s.wipe,
		"POST /v1/readers/{id}/input":  s.input,
		"POST /v1/readers/{id}/finger": s.finger,
		"POST /v1/doors/{id}/{act}":    s.act,
		"POST /v1/fire":                s.fire,
		"POST /v1/clock":               s.setClock,
		"GET /v1/clock":                s.clock,
		"GET /v1/state":                s.state,
		"GET /v1/cards":                s.cards,
		"GET /v1/doors/{id}/timeline":  s.timeline,
		"GET /v1/events":               s.events,
		"GET /v1/wait":                 s.wait,
		"/":                            nowhere,
	} {
		m.HandleFunc(pattern, s.answer(h))
	}
	return m
}

func nowhere(r *http.Request) (any, error) {
	return nil, problem.New(problem.NotFound, r.Method+" "+r.URL.Path+" はありません。README の一覧を見てください。",
		"no "+r.Method+" "+r.URL.Path+"; see the list in README")
}

func (s *server) answer(h func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := h(r)
		if err != nil {
			var p *problem.Error
			if !errors.As(err, &p) {
				s.log.Error("control request failed", "path", r.URL.Path, "err", err)
				p = problem.New(problem.Internal, "模擬装置の内部で失敗しました。run の表示(標準エラー)を見てください。", "the simulator failed; see the log of `run`")
			}
			fail(w, p)
			return
		}
		write(w, http.StatusOK, v)
	}
}

func fail(w http.ResponseWriter, p *problem.Error) { write(w, status[p.Code], failure{p}) }

func write(w http.ResponseWriter, code int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // the other side may have gone; nobody is left to tell
}

// body reads a JSON object strictly; an empty body is the empty object.
func body(r *http.Request, into any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return problem.Body("本文を読み取れませんでした。", "the body could not be read")
	}
	if len(data) > maxBody {
		return problem.New(problem.TooLarge, "本文は 64 KiB までです。", "the body may have 64 KiB")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return problem.Body("本文が正しくありません: "+err.Error(), "the body is not right: "+err.Error())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return problem.Body("本文の JSON のあとに余分な文字があります。", "there is more after the JSON body")
	}
	return nil
}

// done runs an act and tells which event was the newest before it.
func (s *server) done(act func() (monoNS int64, err error)) (any, error) {
	d := Done{OK: true, Event: s.city.State().LastEvent}
	var err error
	if d.MonoNS, err = act(); err != nil {
		return nil, err
	}
	return d, nil
}

// simply is done for an act that is complete at once.
func (s *server) simply(act func() error) (any, error) {
	return s.done(func() (int64, error) {
		err := act()
		return mono.Now(), err
	})
}
