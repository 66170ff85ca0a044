package agent_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/agent"
	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk"
	"sekimori/drivers"
	"sekimori/internal/record"
	"sekimori/internal/settings"
)

// hubKeys are a hub's keys. Its HTTPS side enrols one device and goes away.
type hubKeys struct{ root, policy *record.Signer }

func newSigner(t *testing.T) *record.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := record.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// enrol makes the device of c a member of a new municipality.
func enrol(t *testing.T, c agent.Config) hubKeys {
	t.Helper()
	keys := hubKeys{newSigner(t), newSigner(t)}
	caPub, caKey, _ := ed25519.GenerateKey(rand.Reader)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(9, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	issue := func(name string, pub any, key any) ([]byte, tls.Certificate) {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter}
		if name == "CA" {
			leaf = ca
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, pub, caKey)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	caPEM, _ := issue("CA", caPub, nil)
	list := record.KeyList{Root: keys.root.Public(), Serial: 1, Issued: time.Now(), Hub: "hub.test", CA: caPEM,
		Keys: []record.HubKey{{Use: record.UsePolicy, Key: keys.policy.Public()}}}
	sealed, err := record.Seal(keys.root, record.TypeKeyList, list)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(record.PathKeyList, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(sealed) })
	mux.HandleFunc(record.PathEnrol, func(w http.ResponseWriter, r *http.Request) {
		var req record.EnrolRequest
		err := json.NewDecoder(r.Body).Decode(&req)
		csr, err2 := x509.ParseCertificateRequest(req.CSR)
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
			return
		}
		cert, _ := issue(csr.Subject.CommonName, csr.PublicKey, nil)
		_ = json.NewEncoder(w).Encode(record.EnrolReply{Certificate: cert, KeyList: sealed, CredentialKey: credential[:], HubTime: time.Now()})
	})
	serverPub, serverKey, _ := ed25519.GenerateKey(rand.Reader)
	_, serverCert := issue("hub.test", serverPub, serverKey)
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serverCert}}
	server.StartTLS()
	defer server.Close()
	c.Hub.HTTPS = strings.TrimPrefix(server.URL, "https://")
	if err := agent.Enrol(t.Context(), c, record.NewEnrolCode(keys.root.Public()).Text()); err != nil {
		t.Fatal(err)
	}
	return keys
}

var credential = record.CredentialKey{3, 1}

// card is a 26-bit card with its parity bits.
func card(t *testing.T, number uint32) drivers.Card {
	t.Helper()
	parity := func(x uint32) (p uint32) {
		for ; x > 0; x >>= 1 {
			p ^= x & 1
		}
		return p
	}
	word := parity(number>>12)<<25 | number<<1 | 1 ^ parity(number&0xFFF)
	c, err := drivers.NewCard([]byte{byte(word >> 18), byte(word >> 10), byte(word >> 2), byte(word << 6)}, 26)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// putFile writes a state file as an earlier run would have left it.
func putFile(t *testing.T, c agent.Config, name string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(c.StateDir, name), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// cached puts a policy where an earlier run would have kept it: person P07 may
// enter at D21 with card 7.
func cached(t *testing.T, c agent.Config, keys hubKeys) {
	t.Helper()
	head, chunks, err := record.PackPolicy(keys.policy, record.Policy{
		Device: record.DeviceID(c.Device), Version: 3, Pack: "kanmori/1",
		Doors:       []record.DoorPolicy{{Door: "D21", Room: "R21", Level: 2, Release: 5 * time.Second, HeldOpen: time.Minute, OfflineMaxAge: 72 * time.Hour}},
		Permits:     []record.Permit{{Person: "P07", Rooms: []record.RoomCode{"R21"}, From: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)}},
		Credentials: []record.Credential{{ID: "C07", Person: "P07", Tag: credential.Tag(card(t, 7).Key()), State: record.CredentialActive}},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, c, "policy.json", map[string]any{"head": head, "chunks": chunks})
	putFile(t, c, "doors.json", map[string]any{"last_hub": time.Now()})
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func doorSettings(t *testing.T, w *wires) agent.Settings {
	t.Helper()
	text := fmt.Sprintf(`version: 1
device: DC-21
role: door
state: %s
hub: {mqtt: "127.0.0.1:1", https: "127.0.0.1:1"}
lines: {backend: sim, socket: %s}
doors:
  - id: D21
    relay: {line: relay}
    contact: {line: contact}
    rex: {line: rex}
    fire: {line: fire}
    readers: [{id: D21-in, direction: in, driver: wiegand, d0: d0, d1: d1, keypad: false}]
`, t.TempDir(), w.socket)
	var s agent.Settings
	if err := settings.Parse("agent.yaml", []byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// events is the journal of a device that has stopped.
func events(t *testing.T, c agent.Config) (out []record.Event) {
	t.Helper()
	j, err := journal.Open(t.Context(), disk.OS{}, filepath.Join(c.StateDir, "journal"), journal.Options{
		Notice: func(journal.Position, journal.Notice) ([]byte, error) { return nil, errors.New("nothing to say") },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, e := range j.Epochs() {
		recs, err := j.Read(e.Epoch, 1, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			event, err := record.DecodeEvent(r.Event)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, event)
		}
	}
	return out
}

// kinds lists the facts in that journal.
func kinds(t *testing.T, c agent.Config) (out []record.Kind) {
	t.Helper()
	for _, e := range events(t, c) {
		out = append(out, e.Kind)
	}
	return out
}

// A card opens the door without a hub, and the journal says so.
func TestRunWithoutHub(t *testing.T) {
	w := newWires(t)
	s := doorSettings(t, w)
	cached(t, s.Identity(), enrol(t, s.Identity()))
	log := &lines{}
	c, err := s.Open(t.Context(), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	c.Ready = func() { close(ready) }
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx, c) }()
	<-ready
	eventually(t, "the card opens the door", func() bool {
		w.present(card(t, 7)) // again and again, as a person would: the reader is not believed at once
		time.Sleep(400 * time.Millisecond)
		return slices.Contains(w.relay(), "1")
	})
	w.set("contact", true)
	eventually(t, "locked behind the person", func() bool { r := w.relay(); return r[len(r)-1] == "0" })
	w.set("contact", false)
	eventually(t, "the hub missed", func() bool { return strings.Contains(log.String(), "hub not reached") })
	time.Sleep(2 * time.Second) // some more tries
	began := time.Now()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("stopped after %v", took)
	}
	if n := strings.Count(log.String(), "hub not reached"); n != 1 {
		t.Errorf("the hub was missed %d times in the log:\n%s", n, log)
	}
	want := []record.Kind{record.KindEpochStarted, record.KindBooted, record.KindPolicyActivated, record.KindDoorEquipped, record.KindGranted, record.KindEntered}
	if got := kinds(t, c); !slices.Equal(got, want) {
		t.Errorf("facts %v, want %v", got, want)
	}
	if r := w.relay(); r[0] != "0" || r[len(r)-1] != "0" {
		t.Errorf("the relay began and ended as %v", r)
	}
}

// State files that cannot be read keep nobody from going out, nor the device
// from starting; without a policy nobody gets in.
func TestRunWithDamagedState(t *testing.T) {
	w := newWires(t)
	s := doorSettings(t, w)
	cached(t, s.Identity(), enrol(t, s.Identity()))
	for _, name := range []string{"policy.json", "doors.json", "orders.json", "checkpoint.json", "lasttime.json"} {
		if err := os.WriteFile(filepath.Join(s.State, name), []byte(`{"`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.Open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	c.Ready = func() { close(ready) }
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx, c) }()
	<-ready
	eventually(t, "lines watched", w.watched) // levels before that are a state, not a happening
	w.set("rex", true)
	w.set("contact", true)
	w.set("contact", false)
	w.set("fire", true)
	eventually(t, "released by fire", func() bool { return slices.Contains(w.relay(), "1") })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got := kinds(t, c)
	for _, want := range []record.Kind{record.KindClockAnomaly, record.KindPolicyRejected, record.KindOrderRejected, record.KindExitFree, record.KindFireRelease} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %v", want, got)
		}
	}
}

// A device that is nobody's does not start, and lets go of its lines.
func TestRunNotEnrolled(t *testing.T) {
	w := newWires(t)
	c, err := doorSettings(t, w).Open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Run(t.Context(), c); !errors.Is(err, agent.ErrNotEnrolled) {
		t.Fatal(err)
	}
	if _, err := c.Lines.Edges(t.Context(), "rex"); err == nil {
		t.Fatal("the lines are still open")
	}
}
