package hostsvc

import (
	"strings"
	"testing"

	"sekimori/configs"
)

// The installed unit is the shipped one, hardening and all: only where the
// program and its settings are is filled in.
func TestInstalledUnitIsTheShippedOne(t *testing.T) {
	for name, unit := range map[string]string{"agent": configs.AgentUnit, "hub": configs.HubUnit} {
		got := strings.Split(unitTemplate(unit), "\n")
		want := strings.Split(unit, "\n")
		if len(got) != len(want) {
			t.Fatalf("%s: %d lines, want %d", name, len(got), len(want))
		}
		changed := 0
		for i := range want {
			if got[i] == want[i] {
				if strings.Contains(got[i], "{{") {
					t.Errorf("%s: line %q would be taken for a template", name, got[i])
				}
				continue
			}
			changed++
			if !strings.HasPrefix(want[i], "ExecStart=") || !strings.Contains(got[i], "{{Path") || !strings.Contains(got[i], "{{range Arguments}}") {
				t.Errorf("%s: %q became %q", name, want[i], got[i])
			}
		}
		if changed != 1 {
			t.Errorf("%s: %d lines changed, want 1", name, changed)
		}
		for _, must := range []string{"Type=notify", "WatchdogSec=", "NoNewPrivileges=yes"} {
			if !strings.Contains(unitTemplate(unit), must) {
				t.Errorf("%s: no %s", name, must)
			}
		}
	}
}
