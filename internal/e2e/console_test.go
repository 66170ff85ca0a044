//go:build linux

package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"sekimori/internal/clock"
)

// console is a person's browser as far as tests need one: it signs in, keeps
// the session, reads the API and submits forms.
type console struct {
	t    *testing.T
	base string
	http *http.Client
}

// newConsole trusts the municipality's CA and nobody else. The clock of this
// machine may be far from the city's, so the certificate is checked at a time
// when it is good.
func newConsole(t *testing.T, base, ca string) *console {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", ca)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	if clock.Simulated {
		conf.Time = func() time.Time { return baseDay(12, 0, 0) }
	}
	return &console{t: t, base: base, http: &http.Client{
		Jar: jar, Timeout: 20 * time.Second,
		Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true},
	}}
}

func (c *console) ready() bool {
	resp, err := c.http.Get(c.base + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// signIn signs in through the form.
func (c *console) signIn(user string) {
	c.t.Helper()
	body, status := c.post("/signin", url.Values{"login": {user}, "password": {password}})
	if status != http.StatusOK || strings.Contains(body, `name="password"`) {
		c.t.Fatalf("sign-in of %s: %d\n%.400s", user, status, body)
	}
}

// post submits a form and follows to the page it leads to.
func (c *console) post(path string, form url.Values) (body string, status int) {
	c.t.Helper()
	resp, err := c.http.PostForm(c.base+path, form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b), resp.StatusCode
}

func (c *console) get(path string) (string, int, error) {
	resp, err := c.http.Get(c.base + path)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), resp.StatusCode, err
}

func (c *console) api(path string, into any) error {
	body, status, err := c.get(path)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s: %d: %.200s", path, status, body)
	}
	return json.Unmarshal([]byte(body), into)
}

type word struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// stay is a row of 入退室管理簿 as the API gives it.
type stay struct {
	Room       string     `json:"room"`
	Level      int        `json:"level"`
	Year       int        `json:"year"`
	Number     int64      `json:"number"`
	Entered    *time.Time `json:"entered"`
	Exited     *time.Time `json:"exited"`
	Person     string     `json:"person"`
	Name       string     `json:"name"`
	Section    string     `json:"section"`
	Method     word       `json:"method"`
	Result     word       `json:"result"`
	Reasons    []word     `json:"reasons"`
	Open       bool       `json:"open"`
	Unsure     bool       `json:"unconfirmed"`
	Late       bool       `json:"late"`
	Received   time.Time  `json:"received"`
	Quality    word       `json:"time_quality"`
	Basis      []string   `json:"basis"`
	Credential string     `json:"credential"`
	Closed     *struct {
		By     string    `json:"by"`
		Exited time.Time `json:"exited"`
		Reason string    `json:"reason"`
	} `json:"closed"`
}

// denial is a row of 不許可・異常一覧.
type denial struct {
	Room     string    `json:"room"`
	Number   int64     `json:"number"`
	Year     int       `json:"year"`
	At       time.Time `json:"at"`
	Door     string    `json:"door"`
	Device   string    `json:"device"`
	Person   string    `json:"person"`
	Name     string    `json:"name"`
	Kind     word      `json:"kind"`
	Reason   word      `json:"reason"`
	Alarm    bool      `json:"alarm"`
	Late     bool      `json:"late"`
	Received time.Time `json:"received"`
	Notes    []word    `json:"notes"`
	By       string    `json:"by"`
	Code     string    `json:"code"`
	Detail   string    `json:"detail"`
	Count    uint64    `json:"count"`
	Basis    []string  `json:"basis"`
}

// rows reads every page of a list, oldest first.
func rows[T any](c *console, path string) ([]T, error) {
	var all []T
	for page := 1; ; page++ {
		var l struct {
			Rows  []T   `json:"rows"`
			Total int64 `json:"total"`
		}
		if err := c.api(fmt.Sprintf("%s&order=oldest&page=%d", path, page), &l); err != nil {
			return nil, err
		}
		all = append(all, l.Rows...)
		if len(l.Rows) == 0 || int64(len(all)) >= l.Total {
			return all, nil
		}
	}
}

func (c *console) stays(room string) []stay {
	c.t.Helper()
	l, err := rows[stay](c, "/api/v1/registers/entry?room="+room)
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

func (c *console) denials(query string) []denial {
	c.t.Helper()
	l, err := rows[denial](c, "/api/v1/registers/denials?"+query)
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

// refusals are the denied entries of a list, in order.
func refusals(l []denial) (out []denial) {
	for _, d := range l {
		if d.Kind.Code == "access_denied" {
			out = append(out, d)
		}
	}
	return out
}

// occupants is 在室者: the names inside a room.
func (c *console) occupants(room string) []string {
	c.t.Helper()
	var names []string
	for _, s := range c.stays(room) {
		if s.Open {
			names = append(names, s.Name)
		}
	}
	return names
}

type device struct {
	Device string `json:"device"`
	State  word2  `json:"state"`
	Fresh  bool   `json:"fresh"`
	Behind bool   `json:"policy_not_delivered"`
	Clock  word2  `json:"clock"`
	Reader []struct {
		Reader string `json:"reader"`
		State  word2  `json:"state"`
	} `json:"readers"`
}

// word2 is a state: its class and its word.
type word2 struct {
	Class string `json:"state"`
	Text  string `json:"text"`
}

func (c *console) devices() ([]device, error) {
	var today struct {
		Devices []device `json:"devices"`
	}
	err := c.api("/api/v1/today", &today)
	return today.Devices, err
}

// devicesReady tells whether n controllers are fresh, under their newest policy
// and hear their readers.
func (c *console) devicesReady(n int) bool {
	devices, err := c.devices()
	ready := 0
	for _, d := range devices {
		if d.Fresh && !d.Behind && d.State.Class == "ok" {
			ready++
		}
	}
	return err == nil && ready >= n
}
