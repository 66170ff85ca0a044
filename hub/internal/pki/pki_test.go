package pki_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/pki"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

var kanmori = pki.Options{Municipality: "関森市", HubName: "hub.kanmori.lan", MQTTAddr: "127.0.0.1:8883", Addresses: []string{"10.1.2.3", "sekimori"}}

func mustInit(tb testing.TB, o pki.Options) (dir string) {
	tb.Helper()
	dir = filepath.Join(tb.TempDir(), "keys")
	if err := pki.Init(dir, o); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func mustOpen(tb testing.TB, dir string) *pki.Authority {
	tb.Helper()
	a, err := pki.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// TestInitMakesAHubAgentsBelieve checks the list the way an agent does, and that
// the three uses have three keys.
func TestInitMakesAHubAgentsBelieve(t *testing.T) {
	a := mustOpen(t, mustInit(t, kanmori))
	list, err := record.OpenKeyList(a.Root(), a.SealedKeyList())
	if err != nil {
		t.Fatal(err)
	}
	if list.Serial != 1 || list.Hub != "hub.kanmori.lan" || list.MQTT != "127.0.0.1:8883" {
		t.Errorf("list is %+v", list)
	}
	seen := map[record.KeyID]bool{}
	for _, use := range []record.KeyUse{record.UsePolicy, record.UseOrder, record.UseReceipt} {
		keys := list.For(use)
		if len(keys) != 1 || keys[0].ID() != a.Signer(use).Public().ID() || seen[keys[0].ID()] {
			t.Errorf("%s keys: %v", use, keys)
		}
		seen[keys[0].ID()] = true
	}
	v, err := note.NewVerifier(list.LogKey)
	if err != nil || v.Name() != "hub.kanmori.lan/ledger" {
		t.Errorf("log key %q: %v", list.LogKey, err)
	}
	l, err := ledger.New(a.LogKey())
	if err != nil || l.VerifierKey() != list.LogKey {
		t.Errorf("the ledger would sign with another key: %v", err)
	}
	signed, err := note.Sign(&note.Note{Text: "x\n"}, a.LogSigner())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(v)); err != nil {
		t.Error(err)
	}
}

func TestInitNeverReplacesKeys(t *testing.T) {
	dir := mustInit(t, kanmori)
	before, err := os.ReadFile(filepath.Join(dir, "keylist.dsse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Init(dir, kanmori); !errors.Is(err, pki.ErrExists) {
		t.Errorf("second Init: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "keylist.dsse"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("key list changed: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestInitRefusesBadOptionsAndWritesNothing(t *testing.T) {
	parent := t.TempDir()
	err := pki.Init(filepath.Join(parent, "keys"), pki.Options{HubName: "サーバ室", MQTTAddr: "nowhere", Addresses: []string{"a b"}})
	for _, want := range []string{"municipality", "サーバ室", "nowhere", "a b"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestHubRunsWithoutRootKey: the root's key is in one file that can go away,
// and its presence is a finding.
func TestHubRunsWithoutRootKey(t *testing.T) {
	dir := mustInit(t, kanmori)
	if found, err := pki.SelfCheck(dir); err != nil || len(found) != 1 || found[0].Code != "root-online" {
		t.Fatalf("findings %v, %v", found, err)
	}
	if err := os.Remove(filepath.Join(dir, "offline", "root.key")); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
	if found, err := pki.SelfCheck(dir); err != nil || len(found) != 0 {
		t.Errorf("findings %v, %v", found, err)
	}
}

// [001-4.5(1)]: a key that others can read is found, and not used.
func TestExposedKeyIsFound(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // access lists, not modes: see os_windows.go
	}
	dir := mustInit(t, kanmori)
	if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, walkErr error) error {
		if walkErr != nil {
			return walkErr
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "ca.key", "order.key", "server.key", "seal.key"} {
		path := filepath.Join(dir, name)
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, before.Mode().Perm()|0o040); err != nil {
			t.Fatal(err)
		}
		if _, err := pki.Open(dir); !errors.Is(err, pki.ErrExposed) {
			t.Errorf("%s readable by its group: %v", name, err)
		}
		if err := os.Chmod(path, before.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, dir)
}

func TestOpenRefusesKeysTheRootDidNotSign(t *testing.T) {
	for _, name := range []string{"policy.key", "keylist.dsse", "ca.crt", "log.pub", "root.pub"} {
		dir, other := mustInit(t, kanmori), mustInit(t, kanmori)
		b, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pki.Open(dir); err == nil {
			t.Errorf("another hub's %s was accepted", name)
		}
	}
}

// TestTLSUnderEveryName shakes hands as the hub's link and as a browser would.
func TestTLSUnderEveryName(t *testing.T) {
	a := mustOpen(t, mustInit(t, kanmori))
	for _, name := range []string{"hub.kanmori.lan", "localhost", "127.0.0.1", "10.1.2.3", "sekimori"} {
		client := a.Link()
		client.ServerName = name
		if err := handshake(t, a.HTTPS(), client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	client := a.Link()
	client.ServerName = "other.example"
	if handshake(t, a.HTTPS(), client) == nil {
		t.Error("accepted under a name it does not have")
	}
	old := a.Link()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if handshake(t, a.HTTPS(), old) == nil {
		t.Error("TLS 1.2 accepted")
	}
}

// [001-4.3(3)] [001-4.3(4)]: the broker's server config asks for, and knows, the hub's own certificate,
// also by a clock of 1970.
func TestBrokerKnowsTheLink(t *testing.T) {
	a := mustOpen(t, mustInit(t, kanmori))
	pem, err := a.Broker()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(pem.Cert, pem.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.ClientCA)
	for _, now := range []time.Time{clock.Now(), time.Unix(60, 0)} {
		at := func() time.Time { return now }
		server := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, Time: at,
			VerifyConnection: func(s tls.ConnectionState) error {
				if sub := s.PeerCertificates[0].Subject; sub.CommonName != "hub" || len(sub.OrganizationalUnit) != 1 || sub.OrganizationalUnit[0] != "hub" {
					return fmt.Errorf("subject %v", sub)
				}
				return nil
			}}
		client := a.Link()
		client.Time = at
		if err := handshake(t, server, client); err != nil {
			t.Errorf("at %v: %v", now, err)
		}
	}
	if s := fmt.Sprintf("%v %+v %s", pem, pem, pem); strings.Contains(s, "KEY---") {
		t.Errorf("key printed: %s", s)
	}
}

func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	err := c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // TLS 1.3 tells the client of a refusal only here
	}
	b.Close()
	return errors.Join(err, <-done)
}

// [T-51]: the hub's own certificates renew themselves, with the same key.
func TestOwnCertificatesRenew(t *testing.T) {
	dir := mustInit(t, kanmori)
	a := mustOpen(t, dir)
	if changed, err := a.RenewOwn(clock.Now()); changed || err != nil {
		t.Fatalf("renewed at once: %v %v", changed, err)
	}
	before, err := a.Broker()
	if err != nil {
		t.Fatal(err)
	}
	later := clock.Now().AddDate(1, 0, 0)
	if changed, err := a.RenewOwn(later); !changed || err != nil {
		t.Fatalf("not renewed a year later: %v %v", changed, err)
	}
	after, err := a.Broker()
	if err != nil || bytes.Equal(before.Cert, after.Cert) || !bytes.Equal(before.Key, after.Key) {
		t.Errorf("certificate same %v, key same %v, %v", bytes.Equal(before.Cert, after.Cert), bytes.Equal(before.Key, after.Key), err)
	}
	client := a.Link()
	client.Time = func() time.Time { return later.AddDate(1, 0, 0) }
	if err := handshake(t, a.HTTPS(), client); err != nil {
		t.Errorf("two years on: %v", err)
	}
	mustOpen(t, dir)
}

func TestSealerBindsTheName(t *testing.T) {
	s := mustOpen(t, mustInit(t, kanmori)).Sealer()
	sealed := s.Seal("pin/P07", []byte("secret"))
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("not hidden")
	}
	if got, err := s.Open("pin/P07", sealed); err != nil || string(got) != "secret" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := s.Open("pin/P01", sealed); err == nil {
		t.Error("opened under another name")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := s.Open("pin/P07", sealed); err == nil {
		t.Error("opened though changed")
	}
	if got := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(got, "0x") {
		t.Errorf("printed as %s", got)
	}
}

// TestInfoIsPublic: hub.json holds names only.
func TestInfoIsPublic(t *testing.T) {
	dir := mustInit(t, kanmori)
	b, err := os.ReadFile(filepath.Join(dir, "hub.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil || len(m) != 4 {
		t.Errorf("%s %v", b, err)
	}
}
