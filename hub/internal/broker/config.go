package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"time"

	"sekimori/internal/record"
)

// Config is what one broker needs. It travels to the child process as one JSON
// line on stdin, so it never touches a disk or a command line.
type Config struct {
	Listen string `json:"listen"` // "0.0.0.0:8883"; port 0 takes a free one
	Access
	Limits Limits `json:"limits,omitzero"` // zero fields take DefaultLimits
}

// Access is who may come in. A later Access changes only the fields it carries:
// nil and "" mean "as before"; an empty list that is not nil means "nobody".
type Access struct {
	Allow      []string `json:"allow,omitzero"`        // device IDs in service
	Revoked    []string `json:"revoked,omitzero"`      // certificate serial numbers, hexadecimal
	ClientCA   string   `json:"client_ca,omitempty"`   // PEM, one or more: who may sign client certificates
	ServerCert string   `json:"server_cert,omitempty"` // PEM chain, leaf first
	ServerKey  Secret   `json:"server_key,omitempty"`  // PEM; goes with ServerCert
}

// Secret is key material: it travels in JSON to the child, and shows itself
// nowhere else.
type Secret string

const redacted = "[redacted]"

func (Secret) String() string             { return redacted }
func (Secret) GoString() string           { return redacted }
func (Secret) LogValue() slog.Value       { return slog.StringValue(redacted) }
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// Limits bound what any client can make the broker spend.
type Limits struct {
	MaxPacket      int `json:"max_packet,omitempty"`      // bytes after CONNECT was accepted
	MaxConnect     int `json:"max_connect,omitempty"`     // bytes of the CONNECT packet
	MaxConns       int `json:"max_conns,omitempty"`       // connections in all
	MaxUnauth      int `json:"max_unauth,omitempty"`      // not yet accepted, in all
	MaxUnauthAddr  int `json:"max_unauth_addr,omitempty"` // not yet accepted, per address
	ViolationBurst int `json:"violation_burst,omitempty"` // violations by one address or identity before it is shut out
	ViolationRate  int `json:"violation_rate,omitempty"`  // violations forgiven per minute
	ControlBurst   int `json:"control_burst,omitempty"`   // PINGREQ, SUBSCRIBE, … at once
	ControlRate    int `json:"control_rate,omitempty"`    // and per second
	LaneMessages   int `json:"lane_messages,omitempty"`   // device → hub, waiting, per device and channel
	LaneBytes      int `json:"lane_bytes,omitempty"`
	Backlog        int `json:"backlog,omitempty"`      // bytes of all lanes
	OutMessages    int `json:"out_messages,omitempty"` // hub → device, waiting, per device
	OutBytes       int `json:"out_bytes,omitempty"`

	Handshake Duration `json:"handshake,omitempty"` // TLS and CONNECT together
	Write     Duration `json:"write,omitempty"`     // one write to a device
	Packet    Duration `json:"packet,omitempty"`    // a packet, from its first byte to its last
	MaxIdle   Duration `json:"max_idle,omitempty"`  // for clients that ask for a longer keepalive or for none
	Aggregate Duration `json:"aggregate,omitempty"` // findings of one kind and origin are counted this long
}

// Duration is a time.Duration in nanoseconds on the wire to the child.
type Duration = time.Duration

// DefaultLimits suit one municipality: some hundred devices on a small machine.
func DefaultLimits() Limits {
	return Limits{
		MaxPacket: 512 << 10, MaxConnect: 4 << 10,
		MaxConns: 12_000, MaxUnauth: 1_024, MaxUnauthAddr: 64,
		ViolationBurst: 60, ViolationRate: 60,
		ControlBurst: 200, ControlRate: 50,
		LaneMessages: 2_048, LaneBytes: 512 << 10, Backlog: 64 << 20,
		OutMessages: 1_024, OutBytes: 16 << 20,
		Handshake: 5 * time.Second, Write: 10 * time.Second, Packet: 30 * time.Second,
		MaxIdle: 5 * time.Minute, Aggregate: time.Minute,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ v, def *int }{
		{&l.MaxPacket, &d.MaxPacket}, {&l.MaxConnect, &d.MaxConnect},
		{&l.MaxConns, &d.MaxConns}, {&l.MaxUnauth, &d.MaxUnauth}, {&l.MaxUnauthAddr, &d.MaxUnauthAddr},
		{&l.ViolationBurst, &d.ViolationBurst}, {&l.ViolationRate, &d.ViolationRate},
		{&l.ControlBurst, &d.ControlBurst}, {&l.ControlRate, &d.ControlRate},
		{&l.LaneMessages, &d.LaneMessages}, {&l.LaneBytes, &d.LaneBytes}, {&l.Backlog, &d.Backlog},
		{&l.OutMessages, &d.OutMessages}, {&l.OutBytes, &d.OutBytes},
	} {
		if *f.v <= 0 {
			*f.v = *f.def
		}
	}
	for _, f := range []struct{ v, def *Duration }{
		{&l.Handshake, &d.Handshake}, {&l.Write, &d.Write}, {&l.Packet, &d.Packet},
		{&l.MaxIdle, &d.MaxIdle}, {&l.Aggregate, &d.Aggregate},
	} {
		if *f.v <= 0 {
			*f.v = *f.def
		}
	}
	return l
}

// access is Access, checked and parsed; immutable once made.
type access struct {
	allow   map[string]bool
	revoked map[string]bool // big.Int text, base 16
	roots   *x509.CertPool
	server  *tls.Certificate
}

// apply returns a with the fields that u carries replaced.
func (a *access) apply(u Access) (*access, error) {
	n := *a
	if u.Allow != nil {
		n.allow = make(map[string]bool, len(u.Allow))
		for _, id := range u.Allow {
			if _, err := record.ParseDeviceID(id); err != nil {
				return nil, fail(CodeConfig, "allow list: %w", err)
			}
			n.allow[id] = true
		}
	}
	if u.Revoked != nil {
		n.revoked = make(map[string]bool, len(u.Revoked))
		for _, s := range u.Revoked {
			serial, ok := new(big.Int).SetString(strings.ReplaceAll(s, ":", ""), 16)
			if !ok {
				return nil, fail(CodeConfig, "revocation list: %q is not a hexadecimal serial number", s)
			}
			n.revoked[serial.Text(16)] = true
		}
	}
	if u.ClientCA != "" {
		n.roots = x509.NewCertPool()
		if !n.roots.AppendCertsFromPEM([]byte(u.ClientCA)) {
			return nil, fail(CodeClientCA, "client CA: %w", errors.New("no PEM certificate found"))
		}
	}
	if u.ServerCert != "" {
		pair, err := tls.X509KeyPair([]byte(u.ServerCert), []byte(u.ServerKey))
		if err != nil {
			return nil, fail(CodeServerKey, "server certificate: %w", err)
		}
		n.server = &pair
	}
	return &n, nil
}

// newAccess is the access a broker starts with: everything must be there.
func newAccess(u Access) (*access, error) {
	a, err := (&access{}).apply(u)
	if err != nil {
		return nil, err
	}
	if a.server == nil {
		return nil, fail(CodeServerKey, "no server certificate given")
	}
	if a.roots == nil {
		return nil, fail(CodeClientCA, "no client CA given")
	}
	return a, nil
}
