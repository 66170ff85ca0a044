//go:build vmtest && linux

package vmtest_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	stdlog "log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sekimori/internal/record"
)

// hub is as much of a hub as a device needs to be enrolled. It never answers on
// MQTT: the door must work without.
type hub struct {
	root, policy *record.Signer
	ca           *x509.Certificate
	caKey        ed25519.PrivateKey
	https        string
	code         string // to enrol with
}

var credentialKey = record.CredentialKey{3, 1}

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

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{root: newSigner(t), policy: newSigner(t)}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.caKey = key
	h.ca = &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(9, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	caPEM, err := h.certify(h.ca, pub)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := record.Seal(h.root, record.TypeKeyList, record.KeyList{
		Root: h.root.Public(), Serial: 1, Issued: time.Now(), Hub: "hub.test", CA: caPEM,
		Keys: []record.HubKey{{Use: record.UsePolicy, Key: h.policy.Public()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(record.PathKeyList, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(sealed) })
	mux.HandleFunc(record.PathEnrol, func(w http.ResponseWriter, q *http.Request) {
		var req record.EnrolRequest
		err := json.NewDecoder(q.Body).Decode(&req)
		csr, err2 := x509.ParseCertificateRequest(req.CSR)
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
			return
		}
		cert, err := h.certify(leaf(csr.Subject.CommonName), csr.PublicKey)
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(record.EnrolReply{Certificate: cert, KeyList: sealed, CredentialKey: credentialKey[:], HubTime: time.Now()})
	})
	h.serve(t, mux)
	h.code = record.NewEnrolCode(h.root.Public()).Text()
	return h
}

func leaf(name string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(9, 0, 0)}
}

func (h *hub) certify(c *x509.Certificate, pub any) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, c, h.ca, pub, h.caKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

func (h *hub) serve(t *testing.T, mux http.Handler) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := h.certify(leaf("hub.test"), pub)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(cert)
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	h.https = strings.TrimPrefix(server.URL, "https://")
}
