package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"time"
)

// client speaks JSON over HTTP with the simulator or the console.
type client struct {
	base string
	http *http.Client
}

func newSimulator(socket string) *client {
	var d net.Dialer
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }
	return &client{"http://sim", &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 30 * time.Second}}
}

// newConsole signs in as a person would, trusting the city's CA only.
func (t *town) newConsole(ctx context.Context) (*client, error) {
	pem, err := os.ReadFile(t.path("hub/keys/ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	c := &client{"https://" + t.https, &http.Client{Jar: jar, Timeout: 30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true}}}
	form := url.Values{"login": {"yamada"}, "password": {t.password}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/signin", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	page, err := c.do(req)
	if err == nil && bytes.Contains(page, []byte(`name="password"`)) {
		err = errors.New("the console did not sign the bench in")
	}
	return c, err
}

func (c *client) do(req *http.Request) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.300s", req.Method, req.URL.Path, resp.Status, b)
	}
	return b, err
}

// call sends body, if any, and reads the answer into into, if any.
func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := c.do(req)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// page is a page of a register.
type page struct {
	Rows   []json.RawMessage `json:"rows"`
	Total  int               `json:"total"`
	Cursor int64             `json:"cursor"`
}

// pageRows is how many rows the console puts on a page.
const pageRows = 100

// lastPage reads the page on which the n-th row of a room is, the oldest being
// the first.
func (c *client) lastPage(ctx context.Context, register string, n int) (page, error) {
	var p page
	err := c.call(ctx, http.MethodGet, fmt.Sprintf("/api/v1/registers/%s?room=R21&order=oldest&page=%d", register, (n-1)/pageRows+1), nil, &p)
	return p, err
}
