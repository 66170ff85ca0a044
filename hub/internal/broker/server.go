package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/internal/clock"
)

// Server is the broker itself, in one process. The hub runs it in a child (see
// Supervisor); tests run it directly.
type Server struct {
	limits   Limits
	log      *slog.Logger
	listener net.Listener
	tls      *tls.Config
	findings *aggregator
	router   *router
	gate     *gate
	conns    sync.WaitGroup

	update sync.Mutex // one Update at a time
	access atomic.Pointer[access]
}

// Listen checks cfg and opens the port. findings are handed to sink, one at a
// time, from a goroutine of Run. Errors are *Error.
func Listen(cfg Config, sink func(Finding), log *slog.Logger) (*Server, error) {
	acc, err := newAccess(cfg.Access)
	if err != nil {
		return nil, err
	}
	limits := cfg.Limits.withDefaults()
	srv := &Server{
		limits: limits, log: log, router: newRouter(limits), gate: newGate(limits),
		findings: newAggregator(limits.Aggregate, sink),
	}
	srv.access.Store(acc)
	srv.tls = &tls.Config{
		MinVersion: tls.VersionTLS13,
		Time:       clock.Now,
		// The certificate is asked for here and judged by access.chain and
		// access.identify, which can tell one reason from another.
		ClientAuth: tls.RequestClientCert,
		// A session ticket would outlive a revocation.
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return srv.access.Load().server, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			return srv.access.Load().chain(cs, clock.Now())
		},
	}
	if srv.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, listenError(cfg.Listen, err)
	}
	return srv, nil
}

// Addr is the address that was opened.
func (srv *Server) Addr() string { return srv.listener.Addr().String() }

// Update changes who may come in, and ends the sessions of those who no longer
// may. On error nothing has changed.
func (srv *Server) Update(u Access) error {
	srv.update.Lock()
	defer srv.update.Unlock()
	next, err := srv.access.Load().apply(u)
	if err != nil {
		return err
	}
	srv.access.Store(next)
	for _, s := range srv.router.sessions() {
		srv.evict(s, next)
	}
	return nil
}

// evict ends s if a is against it. A device put out of service is not a
// violation of its own, so it is not blamed.
func (srv *Server) evict(s *session, a *access) {
	switch {
	case a.revoked[s.serial]:
		srv.findings.report(KindRevokedCertificate, s.remote, s.id.Name, "certificate %s was revoked while connected", s.serial)
	case s.id.Role == RoleDevice && !a.allow[s.id.Name]:
		srv.findings.report(KindUnknownDevice, s.remote, s.id.Name, "device was taken out of service while connected")
	default:
		return
	}
	s.end()
}

// Run serves until ctx ends. It returns after every connection and goroutine of
// the server is gone and the last findings were handed over.
func (srv *Server) Run(ctx context.Context) error {
	findingsCtx, stopFindings := context.WithCancel(context.Background())
	var findings sync.WaitGroup
	findings.Go(func() { srv.findings.run(findingsCtx) })
	defer findings.Wait()
	defer stopFindings()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { srv.listener.Close() })
	defer stop()
	err := srv.accept(ctx)
	cancel() // ends the connections of a listener that failed
	srv.conns.Wait()
	return err
}

// accept takes connections until ctx ends or the listener fails for good.
func (srv *Server) accept(ctx context.Context) error {
	for {
		conn, err := srv.listener.Accept()
		switch {
		case err == nil:
			srv.conns.Go(func() { srv.admit(ctx, conn) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fail(CodeListen, "accept: %w", err)
		default:
			// Out of descriptors, or a client that left the queue: wait a
			// little, the connections there are go on.
			srv.log.Warn("broker: accept", "err", err)
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// admit serves one TCP connection from first to last.
func (srv *Server) admit(ctx context.Context, conn net.Conn) {
	defer abort(conn)
	defer context.AfterFunc(ctx, func() { abort(conn) })()
	host := hostOf(conn.RemoteAddr())
	origin := originOf(host)
	slow, why := srv.gate.enter(origin, time.Now())
	if why != "" {
		srv.findings.report(KindFlood, host, "", "%s", why)
		return
	}
	defer srv.gate.leave()
	if slow {
		srv.findings.report(KindFlood, host, "", "address is slowed down after too many failed handshakes")
		wait, cancel := context.WithTimeout(ctx, tarpit)
		<-wait.Done()
		cancel()
	}
	s, ok := srv.authenticate(ctx, conn, host, origin)
	srv.gate.accepted(origin)
	if ok {
		// Closing the connection is not enough: a reader that waits for room in
		// its lane does not look at it.
		defer context.AfterFunc(ctx, s.end)()
		s.run()
	}
}

// authenticate takes a connection through TLS and CONNECT, within one deadline.
func (srv *Server) authenticate(ctx context.Context, conn net.Conn, host, origin string) (s *session, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			srv.panicked(host, "", p)
			s, ok = nil, false
		}
	}()
	deadline := time.Now().Add(srv.limits.Handshake)
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, false
	}
	secure := tls.Server(conn, srv.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		srv.refuseHandshake(host, origin, err)
		return nil, false
	}
	cs := secure.ConnectionState()
	id, why := srv.access.Load().identify(cs, clock.Now())
	if why == nil && srv.gate.shut(id.key(), time.Now()) {
		srv.findings.report(KindFlood, host, id.Name, "too many violations by this identity")
		return nil, false
	}
	if s, ok = srv.connect(&client{Conn: secure, raw: conn}, host, id, why); !ok {
		return nil, false
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, false
	}
	leaf := cs.PeerCertificates[0]
	s.serial, s.expires = leaf.SerialNumber.Text(16), leaf.NotAfter
	return s, true
}

// refuseHandshake reports why a client did not get through TLS.
func (srv *Server) refuseHandshake(host, origin string, err error) {
	kind := KindHandshakeFailed
	var r *refusal
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &r):
		kind, err = r.kind, r.err
	case errors.As(err, &notTLS):
		kind, err = KindPlainTCP, fmt.Errorf("first bytes % x are not TLS", notTLS.RecordHeader)
	case errors.Is(err, os.ErrDeadlineExceeded):
		kind = KindSlowConnect
	case errors.Is(err, context.Canceled):
		return // we are stopping
	}
	srv.findings.report(kind, host, "", "%v", err)
	srv.gate.blame(origin, time.Now())
}

// client is a TLS connection that can be cut at once: closing TLS politely
// waits for a peer that may not read.
type client struct {
	*tls.Conn
	raw net.Conn
}

// abort closes a connection without waiting for the peer.
func abort(c net.Conn) {
	if t, ok := c.(*client); ok {
		c = t.raw
	}
	// Nothing follows from a failed close.
	_ = c.Close()
}
