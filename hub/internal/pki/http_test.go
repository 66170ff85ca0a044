package pki_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

func (t *town) mustState(tb testing.TB, device record.DeviceID) (state store.DeviceState) {
	tb.Helper()
	err := t.store.View(tb.Context(), func(tx store.ReadTx) (err error) {
		state, err = tx.Device(device)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return state
}

func (t *town) serve(tb testing.TB, log io.Writer) *httptest.Server {
	tb.Helper()
	s := httptest.NewUnstartedServer(pki.Handler(t.Members, t.auth.SealedKeyList, slog.New(slog.NewTextHandler(log, nil))))
	s.TLS = t.auth.HTTPS()
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s
}

func do(tb testing.TB, c *http.Client, method, url string, body []byte) (*http.Response, []byte) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp, b
}

// TestEnrolmentAsAgentsDoIt walks the way of a new board over TLS: the root by
// its pin, the CA by the root, the certificate by the code, then a renewal.
func TestEnrolmentAsAgentsDoIt(t *testing.T) {
	town := newTown(t)
	var log bytes.Buffer
	s := town.serve(t, &log)
	code := town.mustCode(t, "DC-31", time.Hour)
	blind := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, sealed := do(t, blind, http.MethodGet, s.URL+record.PathKeyList, nil)
	root, err := record.PeekRoot(sealed)
	if err != nil || resp.StatusCode != http.StatusOK || record.HashRoot(root) != code.Root {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	list, err := record.OpenKeyList(root, sealed)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(list.CA)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: list.Hub}}}
	key := newDeviceKey(t)
	body, err := json.Marshal(record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: csrOf(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	resp, b := do(t, c, http.MethodPost, s.URL+record.PathEnrol, body)
	var reply record.EnrolReply
	if err := json.Unmarshal(b, &reply); err != nil || resp.StatusCode != http.StatusOK || len(reply.CredentialKey) != 32 {
		t.Fatalf("%s %s %v", resp.Status, b, err)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		t.Error("a reply with a secret may be cached")
	}
	if got := clock.Now().Sub(reply.HubTime); got < 0 || got > time.Minute {
		t.Errorf("hub time is %v off", got)
	}
	resp, b = do(t, c, http.MethodPost, s.URL+record.PathEnrol, body)
	mustProblem(t, resp, b, http.StatusForbidden, record.CodeEnrolCode)
	resp, b = do(t, c, http.MethodPost, s.URL+record.PathRenew, town.renewal(t, "DC-31", key, key, clock.Now()))
	if resp.StatusCode != http.StatusOK {
		t.Errorf("renew: %s %s", resp.Status, b)
	}
	if bytes.Contains(log.Bytes(), code.Secret[:]) || bytes.Contains(log.Bytes(), []byte(code.Text())) {
		t.Error("the code is in the log")
	}
}

func mustProblem(tb testing.TB, resp *http.Response, body []byte, status int, code record.Code) {
	tb.Helper()
	var p record.Problem
	if err := json.Unmarshal(body, &p); err != nil || resp.StatusCode != status || p.Code != code || p.JA == "" || p.EN == "" {
		tb.Errorf("%s %q (%v), want %d %s", resp.Status, body, err, status, code)
	}
}

func TestHostileRequests(t *testing.T) {
	town := newTown(t)
	s := town.serve(t, io.Discard)
	c := s.Client()
	c.Transport.(*http.Transport).TLSClientConfig = town.auth.Link()
	resp, b := do(t, c, http.MethodPost, s.URL+record.PathEnrol, []byte("{"))
	mustProblem(t, resp, b, http.StatusBadRequest, record.CodeMalformed)
	resp, b = do(t, c, http.MethodPost, s.URL+record.PathEnrol, bytes.Repeat([]byte(" "), 1<<20))
	mustProblem(t, resp, b, http.StatusBadRequest, record.CodeMalformed)
	resp, b = do(t, c, http.MethodPost, s.URL+record.PathRenew, []byte(`{}`))
	mustProblem(t, resp, b, http.StatusForbidden, record.CodeUnknownDevice)
	if resp, _ := do(t, c, http.MethodGet, s.URL+record.PathEnrol, nil); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %s", resp.Status)
	}
	limited := 0
	for range 40 {
		resp, b = do(t, c, http.MethodPost, s.URL+record.PathEnrol, []byte("{}"))
		if resp.StatusCode == http.StatusTooManyRequests {
			mustProblem(t, resp, b, http.StatusTooManyRequests, record.CodeEnrolCode)
			limited++
		}
	}
	if limited < 15 {
		t.Errorf("%d of 40 hurried requests were held back", limited)
	}
	if resp, _ := do(t, c, http.MethodGet, s.URL+record.PathKeyList, nil); resp.StatusCode != http.StatusOK {
		t.Errorf("the public list: %s", resp.Status)
	}
}

// TestStoreFailureIsNotTheDevicesFault: the device is told to try again later.
func TestStoreFailureIsNotTheDevicesFault(t *testing.T) {
	town := newTown(t)
	s := town.serve(t, io.Discard)
	c := s.Client()
	c.Transport.(*http.Transport).TLSClientConfig = town.auth.Link()
	code := town.mustCode(t, "DC-31", time.Hour)
	body, err := json.Marshal(record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: csrOf(t, newDeviceKey(t))})
	if err != nil {
		t.Fatal(err)
	}
	town.store.Fail = store.ErrFull
	resp, b := do(t, c, http.MethodPost, s.URL+record.PathEnrol, body)
	mustProblem(t, resp, b, http.StatusInsufficientStorage, record.CodeStoreFailed)
	town.store.Fail = nil
	if resp, b := do(t, c, http.MethodPost, s.URL+record.PathEnrol, body); resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s", resp.Status, b)
	}
}
