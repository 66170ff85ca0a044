//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// simulator is the remote control of sekimori-sim, as any script would use it.
type simulator struct {
	t    *testing.T
	http *http.Client
}

func newSimulator(t *testing.T, socket string) *simulator {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &simulator{t, &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 30 * time.Second}}
}

type doorState struct {
	Lock     string `json:"lock"`
	Leaf     string `json:"leaf"`
	Relay    bool   `json:"relay"`
	Pulses   int    `json:"pulses"`
	Releases int    `json:"releases"`
}

type simState struct {
	Clock struct {
		Simulated time.Time `json:"simulated"`
		MonoNS    int64     `json:"mono_ns"`
		File      string    `json:"file"`
	} `json:"clock"`
	Controllers map[string]struct {
		Client string `json:"client"`
	} `json:"controllers"`
	Doors   map[string]doorState `json:"doors"`
	Readers map[string]struct {
		LED         string `json:"led"`
		Fingerprint struct {
			Touched bool `json:"touched"`
		} `json:"fingerprint"`
	} `json:"readers"`
}

// call does one request; into may be nil.
func (s *simulator) call(method, path string, body, into any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, "http://sim"+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

func (s *simulator) must(method, path string, body, into any) {
	s.t.Helper()
	if err := s.call(method, path, body, into); err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulator) state() (st simState) {
	s.t.Helper()
	s.must(http.MethodGet, "/v1/state", nil, &st)
	return st
}

func (s *simulator) door(id string) doorState { s.t.Helper(); return s.state().Doors[id] }

func (s *simulator) card(reader, number string) {
	s.t.Helper()
	s.must(http.MethodPost, "/v1/readers/"+reader+"/card", map[string]string{"number": number}, nil)
}

func (s *simulator) keys(reader, keys string) {
	s.t.Helper()
	s.must(http.MethodPost, "/v1/readers/"+reader+"/keys", map[string]string{"keys": keys}, nil)
}

func (s *simulator) act(door, act string, body map[string]any) {
	s.t.Helper()
	if body == nil {
		body = map[string]any{}
	}
	s.must(http.MethodPost, "/v1/doors/"+door+"/"+act, body, nil)
}

// set moves the clock that simtime programs follow.
func (s *simulator) set(to time.Time) {
	s.t.Helper()
	s.must(http.MethodPost, "/v1/clock", map[string]string{"set": to.Format(time.RFC3339Nano)}, nil)
}

// walk opens the door, goes through and closes it.
func (s *simulator) walk(door string) {
	s.t.Helper()
	s.act(door, "open", nil)
	time.Sleep(30 * time.Millisecond)
	s.act(door, "close", nil)
}
