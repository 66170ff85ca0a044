package pki

import (
	"encoding/json"
	"fmt"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// memberFact records a device's key, so that what it signs can be checked from
// the ledger alone.
func memberFact(kind record.Kind, s store.DeviceState, by record.PersonID, renewal bool) (ledger.Fact, error) {
	f, err := fact(kind, ledger.DeviceEnrolled{Device: s.Device, Key: s.Key, Serial: s.Serial, Until: s.CertUntil, Renewal: renewal}, "001-4.3(3)", "002-23(3)ア")
	f.Row.Device = s.Device
	if kind == ledger.KindDeviceEnrolled {
		f.Row.Via = "agent"
	}
	if by != "" {
		f.Row.Actor = &ledger.Resolved{Person: by}
	}
	return f, err
}

// findingFact tells of a wrong enrolment code. There are at most maxTries per
// code, so a stranger cannot fill the ledger with them.
func findingFact(device record.DeviceID, tries int, remote string) (ledger.Fact, error) {
	now := clock.Now().UTC()
	return fact(ledger.KindSecurityFinding, ledger.SecurityFinding{
		Finding: "enrolment_code_wrong", Code: record.CodeEnrolCode, Remote: remote, Device: device,
		Count: uint64(tries), First: now, Detail: fmt.Sprintf("try %d of %d", tries, maxTries),
	}, "001-4.3(3)")
}

func fact(kind record.Kind, body any, basis ...string) (ledger.Fact, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return ledger.Fact{}, fmt.Errorf("encode %s: %w", kind, err)
	}
	now := clock.Now().UTC()
	return ledger.Fact{Row: ledger.Row{Kind: kind, At: now, Received: now, Quality: record.TimeSynced, Basis: basis, Body: b}}, nil
}
