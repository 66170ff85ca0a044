//go:build interop && linux

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const address = 5

// simulator is a running sekimori-sim with one reader, R, on one paced line.
type simulator struct {
	t        *testing.T
	dir      string
	settings string
	http     *http.Client
	cmd      *exec.Cmd
}

// status is what its state tells of the reader.
type status struct {
	Online     bool   `json:"online"`
	Security   string `json:"security"`
	Secure     bool   `json:"secure"`
	DefaultKey bool   `json:"default_key"`
	BadMACs    int    `json:"bad_macs"`
	BadProofs  int    `json:"bad_proofs"`
	Refusals   int    `json:"refusals"`
	KeysSet    int    `json:"keys_set"`
	Restarts   int    `json:"restarts"`
	Handshakes int    `json:"handshakes"`
	LED        string `json:"led"`
	Buzzes     int    `json:"buzzes"`
	Output     bool   `json:"output"`
	Text       string `json:"text"`
	File       *struct {
		Size   int    `json:"size"`
		SHA256 string `json:"sha256"`
	} `json:"file"`
}

// mustSim starts the simulator; reader is what its settings say of the reader
// besides kind and place.
func mustSim(t *testing.T, baud int, reader string) *simulator {
	t.Helper()
	s := &simulator{t: t, dir: filepath.Join(t.TempDir(), "s"), settings: filepath.Join(t.TempDir(), "site.yaml")}
	site := fmt.Sprintf("version: 1\ncontrollers:\n  - id: B\n    buses: [{name: bus0, baud: %d}]\n    doors: [{id: D, lock: fail-secure}]\n"+
		"    readers:\n      - {id: R, door: D, kind: osdp, bus: bus0, address: %d%s}\n", baud, address, reader)
	if err := os.WriteFile(s.settings, []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	s.http = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "sim.sock"))
	}}}
	s.start()
	t.Cleanup(func() {
		s.stop()
		s.http.CloseIdleConnections()
	})
	return s
}

func (s *simulator) port() string { return filepath.Join(s.dir, "B.bus0") }

func (s *simulator) start() {
	s.t.Helper()
	s.cmd = exec.Command(mustEnv(s.t, "SEKIMORI_SIM"), "run", "--config", s.settings, "--dir", s.dir)
	s.cmd.Stderr = &logged{t: s.t, who: "sekimori-sim"}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := s.get(); err == nil {
			return
		} else if time.Now().After(end) {
			s.t.Fatal(err)
		}
	}
}

func (s *simulator) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("sekimori-sim: %v", err)
	}
}

func (s *simulator) get() (status, error) {
	res, err := s.http.Get("http://sim/v1/state")
	if err != nil {
		return status{}, err
	}
	defer res.Body.Close()
	var v struct {
		Readers map[string]struct {
			OSDP status `json:"osdp"`
		} `json:"readers"`
	}
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		return status{}, err
	}
	return v.Readers["R"].OSDP, nil
}

// until waits for the reader to be as wanted.
func (s *simulator) until(what string, fits func(status) bool) status {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		v, err := s.get()
		switch {
		case err != nil:
			s.t.Fatal(err)
		case fits(v):
			return v
		case time.Now().After(end):
			s.t.Fatalf("%s did not come; the reader is %+v", what, v)
		}
	}
}

// act does something at the reader.
func (s *simulator) act(verb string, body map[string]any) {
	s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := s.http.Post("http://sim/v1/readers/R/"+verb, "application/json", bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", verb, answer)
	}
}
