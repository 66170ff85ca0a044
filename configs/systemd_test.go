package configs_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"sekimori/configs"
)

// limit is the exposure systemd-analyze may see in a unit, in its own points
// from 0 (locked up) to 10.
const limit = 2.0

var units = map[string]string{
	"sekimori-agent.service": configs.AgentUnit,
	"sekimori-hub.service":   configs.HubUnit,
}

// parse reads a unit into "Section.Key" → values, and refuses a line it cannot place.
func parse(text string) (map[string][]string, error) {
	unit, section := map[string][]string{}, ""
	s := bufio.NewScanner(strings.NewReader(text))
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
		case !ok || section == "" || key != strings.TrimSpace(key):
			return nil, fmt.Errorf("line %d is no setting: %q", n, line)
		default:
			unit[section+"."+key] = append(unit[section+"."+key], value)
		}
	}
	return unit, s.Err()
}

// TestUnitsSayWhatTheServicesNeed: among others, systemd itself refuses every
// port but the documented ones [001-4.3(2)].
func TestUnitsSayWhatTheServicesNeed(t *testing.T) {
	common := map[string]string{
		"Service.Type": "notify", "Service.NotifyAccess": "main", "Service.WatchdogSec": "30", "Service.Restart": "always", "Service.RestartSec": "2",
		"Service.LimitCORE": "0", "Service.UMask": "0077", "Service.StateDirectoryMode": "0700", "Service.Environment": "TZ=UTC",
		"Service.SocketBindDeny": "any", "Service.NoNewPrivileges": "yes", "Service.CapabilityBoundingSet": "",
		"Install.WantedBy": "multi-user.target", "Unit.StartLimitIntervalSec": "0",
	}
	own := map[string]map[string]string{
		"sekimori-agent.service": {
			"Service.User": "sekimori-agent", "Service.StateDirectory": "sekimori-agent", "Service.SupplementaryGroups": "gpio dialout",
			"Service.SocketBindAllow": "none", "Service.MemoryMax": "256M",
		},
		"sekimori-hub.service": {
			"Service.User": "sekimori-hub", "Service.StateDirectory": "sekimori-hub", "Service.SocketBindAllow": "tcp:8883,tcp:8443",
			"Service.PrivateDevices": "yes", "Service.MemoryMax": "2G",
		},
	}
	for name, text := range units {
		unit, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, wants := range []map[string]string{common, own[name]} {
			for key, want := range wants {
				got, ok := unit[key]
				if want == "none" && !ok {
					continue
				}
				if !ok || strings.Join(got, ",") != want {
					t.Errorf("%s: %s is %q, want %q", name, key, got, want)
				}
			}
		}
		if unit["Unit.After"] == nil || strings.Contains(strings.Join(unit["Unit.After"], " "), "network-online") {
			t.Errorf("%s waits for a network; a service here must run without one: %q", name, unit["Unit.After"])
		}
	}
}

// TestUnitsAreHardened asks systemd itself. The tool works on files alone, so it
// needs no running systemd; that it is there is checked by scripts/need.sh.
func TestUnitsAreHardened(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("systemd is Linux only; the test above has read the units")
		return
	}
	for name, text := range units {
		got, err := exposure(t, name, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Logf("%s: exposure %.1f", name, got)
		if got > limit {
			t.Errorf("%s: exposure %.1f, limit %.1f", name, got, limit)
		}
	}
	// The measure must be able to fail: a unit without hardening is far out.
	bare := "[Service]\nType=notify\nExecStart=/usr/bin/sekimori-hub run\n"
	if got, err := exposure(t, "bare.service", bare); err != nil || got < 9 {
		t.Errorf("a unit without hardening measures %.1f (%v), want more than 9", got, err)
	}
}

var overall = regexp.MustCompile(`Overall exposure level for \S+: (\d+\.\d)`)

func exposure(t *testing.T, name, text string) (float64, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return 0, err
	}
	out, err := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=yes", file).CombinedOutput()
	m := overall.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("systemd-analyze tells no exposure (Debian package systemd): %v\n%s", err, out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// TestSystemdKnowsEverySetting: an unknown or misspelt line is only a warning to
// systemd, and would leave a hole.
func TestSystemdKnowsEverySetting(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("systemd is Linux only")
		return
	}
	dir := t.TempDir()
	for name, text := range units {
		// A program that exists: the check is of settings, not of an installation.
		text = regexp.MustCompile(`/usr/bin/sekimori-\w+`).ReplaceAllString(text, "/bin/true")
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput()
		if err != nil || strings.Contains(string(out), name) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestUsersAndDeviceRightsCoverTheUnits(t *testing.T) {
	users, err := fs.ReadFile(configs.Systemd, "systemd/sekimori.sysusers")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range units {
		unit, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range unit["Service.User"] {
			if !regexp.MustCompile(`(?m)^u ` + user + `\s`).Match(users) {
				t.Errorf("no sysusers line makes the user %s", user)
			}
		}
		for _, group := range strings.Fields(strings.Join(unit["Service.SupplementaryGroups"], " ")) {
			if !regexp.MustCompile(`(?m)^g ` + group + `\s`).Match(users) {
				t.Errorf("no sysusers line makes the group %s", group)
			}
		}
	}
	rules, err := fs.ReadFile(configs.Systemd, "systemd/sekimori.rules")
	if err != nil || !strings.Contains(string(rules), `GROUP="gpio"`) {
		t.Errorf("GPIO lines are given to nobody: %v", err)
	}
}
