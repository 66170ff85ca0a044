// Package hub is the municipality's one server: it takes what devices deliver,
// binds it into the ledger, and shows it as registers.
//
//	devices ═ TLS ═▶ ⑤ broker (a child process without keys or store)
//	                     │ link
//	                 ⑥ ingest ─▶ ⑦ ledger ─▶ ⑧ register ◀─ ⑨ console ◀═ TLS ═ people
//	                     │           one transaction
//	  policy, orders ◀───┘ people
//
// Two ports and nothing else are open [001-4.3(2)]: HTTPS for people and for the
// enrolment of devices, MQTT over mutual TLS for devices. Commands on the same
// machine use a socket in the state folder.
package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"sekimori/hub/internal/brokerlink"
	"sekimori/hub/internal/ingest"
	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/policy"
	"sekimori/hub/internal/register"
	"sekimori/internal/clock"
	"sekimori/internal/record"
	"sekimori/internal/version"
)

// Config of a hub.
type Config struct {
	Settings Settings
	Log      *slog.Logger

	// Ready is called when people and devices are served, Alive at intervals
	// while the store can be written. Both may be nil.
	Ready, Alive func()
}

const (
	aliveEvery   = 5 * time.Second
	headerWait   = 10 * time.Second
	stopGrace    = 5 * time.Second
	maxHeaders   = 64 << 10
	renewalCheck = time.Hour
)

// running is one Run.
type running struct {
	Config
	*core
	broker   *embedded
	link     *brokerlink.Client
	ingest   *ingest.Ingest
	policies *policy.Service
	register *register.Projector
}

// Run serves until ctx ends. Stopping order: no new requests and messages, then
// what is under way is committed, then the broker ends, then the store closes.
func Run(ctx context.Context, c Config) (err error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	r := &running{Config: c}
	if r.core, err = openCore(ctx, c.Settings, func() { r.membersChanged(ctx) }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.core.close()) }()
	// Ports are taken before anything runs, so that a busy one is one sentence.
	https, err := listen(c.Settings.Listen.HTTPS)
	if err != nil {
		return err
	}
	defer https.Close()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	return r.serve(ctx, https)
}

// listen takes the port of the console.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &PortError{Addr: addr, Cause: err}
	}
	return l, nil
}

// PortError is a port that cannot be had.
type PortError struct {
	Addr  string
	Cause error
}

func (e *PortError) Error() string { return fmt.Sprintf("listen on %s: %v", e.Addr, e.Cause) }
func (e *PortError) Unwrap() error { return e.Cause }

// Sentence is for the person at the terminal.
func (e *PortError) Sentence() string {
	return "コンソール(HTTPS)のポート " + e.Addr + " を使えません。ほかのプログラムが使っていないか確かめるか、設定の listen.https を別のポートに変えてください。"
}

// prepare joins the parts; nothing runs yet.
func (r *running) prepare(ctx context.Context) (err error) {
	if r.broker, err = newEmbedded(ctx, r.Settings.Listen.MQTT, r.auth, r.members, r.Log.With("part", "broker")); err != nil {
		return err
	}
	if r.link, err = brokerlink.New(brokerlink.Config{Addr: r.Settings.linkAddr(), TLS: r.auth.Link(), Log: r.Log.With("part", "link")}); err != nil {
		return err
	}
	r.policies = r.core.policies(r.link, r.Log)
	r.ingest, err = ingest.New(ingest.Config{
		Store: r.store, Ledger: r.ledger, Directory: r.people, Publisher: r.link, Outbox: r.policies,
		Receipts: r.auth.Signer(record.UseReceipt), Generation: firstGeneration, Findings: r.broker.findings,
		Log: r.Log.With("part", "ingest"), LateAfter: r.Settings.Thresholds.Late.D(),
	})
	if err != nil {
		return err
	}
	r.register = &register.Projector{Store: r.store, Log: r.Log.With("part", "register")}
	return nil
}

// firstGeneration is that of a log which was never restored from a backup.
const firstGeneration = 1

// linkAddr is where the hub's own link finds the broker: an address to listen
// on may name all interfaces.
func (s Settings) linkAddr() string {
	host, port, err := net.SplitHostPort(s.Listen.MQTT)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return s.Listen.MQTT
}

// membersChanged lets the broker follow who may connect, and gives a new device
// its policy.
func (r *running) membersChanged(ctx context.Context) {
	if r.broker == nil {
		return // before prepare: the broker starts with the lists of the moment
	}
	if err := r.broker.update(ctx, r.auth, r.members); err != nil {
		r.Log.Error("broker not told of a change of members", "err", err)
	}
	r.policies.Declared()
}

func (r *running) serve(ctx context.Context, https net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	web, err := r.web(ctx)
	if err != nil {
		return err
	}
	// Ingest and register outlive the link: what was taken is committed.
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	g.Go(func() error { return r.ingest.Run(inner) })
	g.Go(func() error { return r.register.Run(inner) })
	g.Go(func() error { return r.broker.supervisor.Run(ctx) })
	g.Go(func() error {
		defer stopInner()
		return r.link.Run(ctx, feed(r.ingest, r.Log))
	})
	g.Go(func() error { return r.policies.Run(ctx) })
	g.Go(func() error { return serveHTTPS(ctx, https, r.auth.HTTPS(), web) })
	g.Go(func() error { return r.serveAdmin(ctx) })
	g.Go(func() error { return r.housekeeping(ctx) })
	g.Go(func() error { return r.begin(ctx) })
	return g.Wait()
}

// begin says that the hub is up, once devices can come in.
func (r *running) begin(ctx context.Context) error {
	select {
	case <-r.broker.ready:
	case <-ctx.Done():
		return nil
	}
	if err := r.ingest.Record(ctx, []ledger.Fact{hubFact(ledger.KindHubStarted, nil, "", ledger.HubStarted{Version: version.Version})}); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	r.Log.Info("hub is up", "console", "https://"+r.Settings.Listen.HTTPS, "mqtt", r.Settings.Listen.MQTT, "version", version.Version)
	if r.Ready != nil {
		r.Ready()
	}
	return nil
}

// serveHTTPS ends with its context: open event streams are cut at once, because
// browsers come back by themselves and go on where they were.
func serveHTTPS(ctx context.Context, l net.Listener, conf *tls.Config, h http.Handler) error {
	streams, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := &http.Server{
		Handler: h, TLSConfig: conf, ReadHeaderTimeout: headerWait, MaxHeaderBytes: maxHeaders,
		BaseContext: func(net.Listener) context.Context { return streams },
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // strangers' handshakes; the broker's port reports its own
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		cut()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	})
	err := srv.ServeTLS(l, "", "")
	if stop() {
		return err // it ended by itself
	}
	return <-stopped
}

// housekeeping keeps the supervisor and the hub's own certificates up to date.
func (r *running) housekeeping(ctx context.Context) error {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	var checked time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if r.Alive != nil {
			r.Alive()
		}
		if time.Since(checked) > renewalCheck {
			checked = time.Now()
			r.renewOwn(ctx)
		}
	}
}

func (r *running) renewOwn(ctx context.Context) {
	changed, err := r.auth.RenewOwn(clock.Now())
	if err != nil {
		r.Log.Error("own certificates not renewed", "err", err)
	}
	if changed {
		r.membersChanged(ctx)
	}
}

// enrolment is the part of HTTPS that devices use.
func (r *running) enrolment() http.Handler {
	return pki.Handler(r.members, r.auth.SealedKeyList, r.Log.With("part", "enrol"))
}
