package site_test

import (
	"strings"
	"testing"

	"sekimori/firmware-sim/internal/site"
	"sekimori/internal/settings"
)

func TestFixtureCity(t *testing.T) {
	s, err := site.Load("../../../configs/sim.yaml")
	if err != nil {
		t.Fatal(err)
	}
	table, err := s.Table()
	if err != nil {
		t.Fatal(err)
	}
	b, ok := table.Lookup("0000012345")
	if !ok || b.Text() != "26:06181cc0" {
		t.Errorf("the card of P07 is %s", b.Text())
	}
	for _, number := range []string{"0000010001", "0000010005", "0000010008", "0000010011", "0000099999"} {
		if _, ok := table.Lookup(number); !ok {
			t.Errorf("card %s is missing", number)
		}
	}
	if len(s.Controllers) != 2 || s.Controllers[0].Readers[1].Address != 1 || !s.Controllers[0].Buses[0].Paced {
		t.Errorf("the controllers are %+v", s.Controllers)
	}
	if !s.Controllers[1].Doors[0].Spec().FailSafe || s.Controllers[0].Doors[0].Spec().FailSafe {
		t.Error("D31 is fail-secure and D21 fail-safe")
	}
}

func TestFaultsAreTold(t *testing.T) {
	const text = `version: 1
cards:
  - {number: "1", format: h10301, facility: 12, id: 99999}
  - {number: "2", format: h10301, facility: 12, id: 2, uid: 0102, idm: xyz, key: "00", application: "01", system: "0"}
controllers:
  - id: DC-1
    buses: [{name: b}]
    doors: [{id: D1, lock: fail-safe}]
    readers:
      - {id: r1, door: D1, kind: osdp, bus: b, address: 0}
      - {id: r2, door: D1, kind: osdp, bus: b, address: 0}
      - {id: r3, door: D9, kind: osdp}
      - {id: r4, door: D1, kind: wiegand, interval_us: 1}
      - {id: r5, door: D1, kind: osdp, bus: b, address: 5, secure: key, key: "0011"}
      - {id: r6, door: D1, kind: osdp, bus: b, address: 6, secure: install, allow_clear: true}
      - {id: r7, door: D1, kind: wiegand, lines: L, biometric: true}
      - {id: r9, door: D1, kind: pn532}
      - {id: r10, door: D1, kind: pn532, port: p0}
      - {id: r11, door: D1, kind: fingerprint, port: p0}
      - {id: r8, door: D1, kind: osdp, bus: b, address: 8, secure: maybe}
  - id: DC-2
    doors: [{id: D1, lock: fail-secure, relay_active: medium}]
    readers: [{id: r1, door: D1, kind: wiegand}]
`
	var s site.Site
	err := settings.Parse("sim.yaml", []byte(text), &s)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"card-table", "same-place", "readers[2].door", "missing-bus", "pulse-timing", "duplicate-id", "relay_active",
		"reader-key", "reader-key-unused", "osdp-only", "readers[10].secure",
		"cards[1].uid", "cards[1].idm", "cards[1].key", "cards[1].application", "cards[1].system", "missing-port", "port p0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s\n%v", want, err)
		}
	}
}
