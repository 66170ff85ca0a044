package identity_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/agent/internal/identity"
	"sekimori/internal/record"
)

const device = record.DeviceID("DC-31")

// hub is a hub's HTTPS side with keys of its own.
type hub struct {
	t       *testing.T
	root    *record.Signer
	ca      *x509.Certificate
	caKey   ed25519.PrivateKey
	list    record.KeyList
	server  *httptest.Server
	secrets int                      // enrolment requests that came with a secret
	reply   func(*record.EnrolReply) // what a hub with a fault changes
	refuse  *record.Problem          //
	until   time.Time                // of device certificates
	renewed []record.RenewRequest    //
	key     func() record.PublicKey  // of the device that renews
}

func newKey(t *testing.T) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub, key
}

func (h *hub) issue(name string, pub any, until time.Time) []byte {
	h.t.Helper()
	leaf := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Unix(0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, leaf, h.ca, pub, h.caKey)
	if err != nil {
		h.t.Error(err)
	}
	return der
}

func inPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (h *hub) seal(s *record.Signer, kind record.PayloadType, v any) []byte {
	b, err := record.Seal(s, kind, v)
	if err != nil {
		h.t.Error(err)
	}
	return b
}

func newHub(t *testing.T) *hub {
	t.Helper()
	_, rootKey := newKey(t)
	root, err := record.NewSigner(rootKey)
	if err != nil {
		t.Fatal(err)
	}
	pub, key := newKey(t)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(20, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, root: root, caKey: key, until: time.Now().AddDate(1, 0, 0)}
	if h.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	h.list = record.KeyList{Root: root.Public(), Serial: 1, Issued: time.Now(), Hub: "hub.test", CA: inPEM(der), LogKey: "log"}
	serverPub, serverKey := newKey(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+record.PathKeyList, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(h.seal(h.root, record.TypeKeyList, h.list))
	})
	mux.HandleFunc("POST "+record.PathEnrol, h.enrol)
	mux.HandleFunc("POST "+record.PathRenew, h.renew)
	h.server = httptest.NewUnstartedServer(mux)
	h.server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{h.issue("hub.test", serverPub, h.ca.NotAfter)}, PrivateKey: serverKey}}}
	h.server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes are broken off on purpose
	h.server.StartTLS()
	t.Cleanup(h.server.Close)
	return h
}

func (h *hub) address() string { return strings.TrimPrefix(h.server.URL, "https://") }

func (h *hub) enrol(w http.ResponseWriter, r *http.Request) {
	var req record.EnrolRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		h.t.Error(err)
	}
	h.secrets++
	if h.refuse != nil {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(h.refuse)
		return
	}
	h.give(w, req.CSR, make([]byte, 32))
}

func (h *hub) renew(w http.ResponseWriter, r *http.Request) {
	if len(r.TLS.PeerCertificates) > 0 {
		h.t.Error("the old certificate was shown")
	}
	var sealed json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&sealed); err != nil {
		h.t.Error(err)
	}
	var req record.RenewRequest
	if _, err := record.Unseal([]record.PublicKey{h.key()}, record.TypeEnrol, sealed, &req); err != nil {
		h.t.Error(err)
	}
	h.renewed = append(h.renewed, req)
	h.give(w, req.CSR, nil)
}

func (h *hub) give(w http.ResponseWriter, der, credential []byte) {
	csr, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		h.t.Error(err)
		return
	}
	reply := record.EnrolReply{Certificate: inPEM(h.issue(csr.Subject.CommonName, csr.PublicKey, h.until)),
		KeyList: h.seal(h.root, record.TypeKeyList, h.list), CredentialKey: credential, HubTime: time.Now()}
	if h.reply != nil {
		h.reply(&reply)
	}
	_ = json.NewEncoder(w).Encode(reply)
}

func enrolled(t *testing.T, h *hub) (dir string, id *identity.Identity) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "identity")
	if _, err := identity.Enrol(t.Context(), dir, h.address(), device, record.NewEnrolCode(h.root.Public())); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(dir, device)
	if err != nil {
		t.Fatal(err)
	}
	h.key = id.Signer().Public
	return dir, id
}

// [001-4.5(1)] What makes this device a member is readable to nobody else.
func TestEnrol(t *testing.T) {
	h := newHub(t)
	dir, id := enrolled(t, h)
	if id.Keys().LogKey != "log" || id.Until().Before(time.Now().AddDate(0, 11, 0)) {
		t.Fatalf("%+v until %v", id.Keys(), id.Until())
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v %v", info.Mode(), err)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 5 {
		t.Fatalf("%v %v", list, err)
	}
	for _, f := range list {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}
	if _, err := identity.Open(dir, "DC-21"); record.CodeOf(err) != record.CodeWrongDevice {
		t.Errorf("another device's identity: %v", err)
	}
	if _, err := identity.Open(t.TempDir(), device); !errors.Is(err, identity.ErrNotEnrolled) {
		t.Errorf("no identity: %v", err)
	}
}

// The secret of a code goes only to the hub that the code pins.
func TestSecretGoesToTheRightHubOnly(t *testing.T) {
	for name, c := range map[string]struct {
		change func(h *hub)
		code   func(h *hub) record.EnrolCode
		want   record.Code
		sent   int
	}{
		"another root": {code: func(*hub) record.EnrolCode { return record.NewEnrolCode(newHub(t).root.Public()) }, want: record.CodeEnrolRoot},
		"a list signed by somebody else": {change: func(h *hub) {
			h.list.Root, h.root = h.root.Public(), newHub(t).root
		}, code: func(h *hub) record.EnrolCode { return record.NewEnrolCode(h.list.Root) }, want: record.CodeBadSignature},
		"a server of another CA":      {change: func(h *hub) { h.list.CA = newHub(t).list.CA }},
		"a server of another name":    {change: func(h *hub) { h.list.Hub = "other.test" }},
		"a code that is used":         {change: func(h *hub) { h.refuse = &record.Problem{Code: record.CodeEnrolCode} }, want: record.CodeEnrolCode, sent: 1},
		"a certificate of another CA": {change: func(h *hub) { h.reply = func(r *record.EnrolReply) { other := newHub(t); other.stranger(r) } }, sent: 1},
		"no certificate":              {change: func(h *hub) { h.reply = func(r *record.EnrolReply) { r.Certificate = nil } }, sent: 1},
		"half a credential key":       {change: func(h *hub) { h.reply = func(r *record.EnrolReply) { r.CredentialKey = r.CredentialKey[:16] } }, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			code := record.NewEnrolCode(h.root.Public())
			if c.code != nil {
				if c.change != nil {
					c.change(h)
				}
				code = c.code(h)
			} else if c.change != nil {
				c.change(h)
			}
			dir := t.TempDir()
			_, err := identity.Enrol(t.Context(), dir, h.address(), device, code)
			if err == nil || record.CodeOf(err) != c.want || h.secrets != c.sent {
				t.Errorf("%v, secret sent %d times; want %q, %d", err, h.secrets, c.want, c.sent)
			}
			if _, err := identity.Open(dir, device); !errors.Is(err, identity.ErrNotEnrolled) {
				t.Errorf("enrolled all the same: %v", err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		h := newHub(t)
		h.server.Close()
		_, err := identity.Enrol(t.Context(), t.TempDir(), h.address(), device, record.NewEnrolCode(h.root.Public()))
		if !errors.Is(err, identity.ErrUnreached) {
			t.Fatal(err)
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h := newHub(t)
		if _, err := identity.Enrol(ctx, t.TempDir(), h.address(), device, record.NewEnrolCode(h.root.Public())); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

// stranger puts a certificate of this hub's CA into a reply of another's.
func (h *hub) stranger(r *record.EnrolReply) {
	block, _ := pem.Decode(r.Certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		h.t.Error(err)
		return
	}
	r.Certificate = inPEM(h.issue(string(device), cert.PublicKey, h.until))
}

// [T-39] A board whose clock is reset, before everything the hub ever signed,
// gets in. The list of the future stands for the clock of the past.
func TestBoardWithoutClockGetsIn(t *testing.T) {
	h := newHub(t)
	h.list.Issued = time.Now().AddDate(10, 0, 0)
	h.until = h.list.Issued.AddDate(1, 0, 0)
	enrolled(t, h)
}

// Whoever is interrupted is not enrolled, also when it was before.
func TestInterruptedEnrolment(t *testing.T) {
	h := newHub(t)
	dir, _ := enrolled(t, h)
	for _, blocked := range []string{"device.key", "root.json", "keylist.dsse", "credential.key"} {
		t.Run(blocked, func(t *testing.T) {
			path := filepath.Join(dir, blocked)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := identity.Enrol(t.Context(), dir, h.address(), device, record.NewEnrolCode(h.root.Public())); err == nil {
				t.Fatal("nothing was in the way")
			}
			if _, err := identity.Open(dir, device); !errors.Is(err, identity.ErrNotEnrolled) {
				t.Fatalf("half an identity: %v", err)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if _, err := identity.Enrol(t.Context(), dir, h.address(), device, record.NewEnrolCode(h.root.Public())); err != nil {
				t.Fatal(err)
			}
			if _, err := identity.Open(dir, device); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// [T-51] An expired device renews by proof of its key, without its certificate.
func TestExpiredDeviceRenews(t *testing.T) {
	h := newHub(t)
	h.until = time.Now().Add(-time.Hour)
	dir, id := enrolled(t, h)
	h.until = time.Now().AddDate(1, 0, 0).Truncate(time.Second)
	h.list.Serial, h.list.LogKey = 2, "newer"
	if err := id.Renew(t.Context(), h.address(), time.Now); err != nil {
		t.Fatal(err)
	}
	again, err := identity.Open(dir, device)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*identity.Identity{id, again} {
		if !x.Until().Equal(h.until) || x.Keys().LogKey != "newer" || x.TLS(time.Now).Certificates[0].Leaf.NotAfter.Before(time.Now()) {
			t.Errorf("until %v, keys %+v", x.Until(), x.Keys())
		}
	}
	if len(h.renewed) != 1 || h.renewed[0].Device != device {
		t.Errorf("%+v", h.renewed)
	}
	t.Run("an older list is a replay", func(t *testing.T) {
		h.list.Serial, h.list.LogKey = 1, "older"
		if err := id.Renew(t.Context(), h.address(), time.Now); err != nil || id.Keys().LogKey != "newer" {
			t.Fatalf("%v %+v", err, id.Keys())
		}
	})
	for name, reply := range map[string]func(*record.EnrolReply){
		"a list of another root":      func(r *record.EnrolReply) { o := newHub(t); r.KeyList = o.seal(o.root, record.TypeKeyList, o.list) },
		"a certificate of another CA": func(r *record.EnrolReply) { newHub(t).stranger(r) },
		"a certificate of another key": func(r *record.EnrolReply) {
			pub, _ := newKey(t)
			r.Certificate = inPEM(h.issue(string(device), pub, h.until))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.reply = reply
			defer func() { h.reply = nil }()
			if err := id.Renew(t.Context(), h.address(), time.Now); err == nil {
				t.Fatal("taken")
			}
			if x, err := identity.Open(dir, device); err != nil || !x.Until().Equal(h.until) {
				t.Fatalf("the good one is gone: %v", err)
			}
		})
	}
}
