package sim_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/api"
	"sekimori/firmware-sim/internal/problem"
)

// nfcList runs libnfc's program against a line of the city.
func (c *city) nfcList(line string) string {
	c.t.Helper()
	program, err := exec.LookPath("nfc-list")
	if err != nil {
		c.t.Fatal("nfc-list is missing: install the Debian package libnfc-bin (scripts/need.sh nfc-list)")
	}
	cmd := exec.CommandContext(c.t.Context(), program)
	cmd.Env = append(os.Environ(), "LIBNFC_DEVICE=pn532_uart:"+filepath.Join(c.dir, line), "LIBNFC_AUTO_SCAN=false")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("nfc-list: %v\n%s%s", err, out.String(), log.String())
	}
	// Numbers come with two blanks between the bytes.
	return strings.Join(strings.Fields(out.String()), " ")
}

// Debian's libnfc, a program that is not ours, sees the cards on a PN532 module
// of the city.
func TestNFCList(t *testing.T) {
	c := mustCity(t, t.TempDir())
	const (
		typeA  = "ISO/IEC 14443A (106 kbps) target: ATQA (SENS_RES): 03 44 UID (NFCID1): 04 12 34 5a bc de 80 SAK (SEL_RES): 20 ATS: 75 77 81 02 80"
		felica = "ID (NFCID2): 01 2e 34 56 78 9a bc 01"
	)
	if got := c.nfcList("DC-31.nfc0"); strings.Contains(got, "target") || !strings.Contains(got, "opened") {
		t.Errorf("nobody is there:\n%s", got)
	}
	forEver := 0
	for _, card := range []string{"P07", "P08"} {
		c.post(api.Reader("D31-nfc", "card"), api.CardBody{Number: card, MS: &forEver})
	}
	got := c.nfcList("DC-31.nfc0")
	if !strings.Contains(got, typeA) {
		t.Errorf("no UID:\n%s", got)
	}
	for _, speed := range []string{"FeliCa (212 kbps)", "FeliCa (424 kbps)"} {
		_, at, ok := strings.Cut(got, speed)
		if !ok || !strings.Contains(at, felica) {
			t.Errorf("%s: no IDm:\n%s", speed, got)
		}
	}
	c.post(api.Reader("D31-nfc", "remove"), struct{}{})
	if got := c.nfcList("DC-31.nfc0"); strings.Contains(got, "target") {
		t.Errorf("the cards were taken away:\n%s", got)
	}
}

// A PN532 module of the city over its own line: it tells of a card it has waited
// for, a pulled cable costs the module its power, and what it cannot do is refused.
func TestPN532Module(t *testing.T) {
	c := mustCity(t, t.TempDir())
	m := c.module("DC-31.nfc0")
	chat := func(send, want string) {
		t.Helper()
		want = strings.ReplaceAll(want, " ", "")
		if got := m.sayFor(strings.ReplaceAll(send, " ", ""), len(want)/2); got != want {
			t.Errorf("%s:\n got %s\nwant %s", send, got, want)
		}
	}
	const (
		ack   = "0000ff00ff00"
		wake  = "55550000 0000ff03fdd414011700"
		sam   = ack + "0000ff02fed5151600"
		listA = "0000ff04fcd44a0100e100"
		found = "0000ff 15eb d54b 01 01 0344 20 07 0412345abcde80 067577810280 bd 00"
	)
	chat(wake, sam)
	chat(listA, ack)
	for _, clone := range []bool{false, true} {
		c.post(api.Reader("D31-nfc", "card"), api.CardBody{Number: "P07", Clone: clone})
		if got := m.sayFor("", 28); got != strings.ReplaceAll(found, " ", "") {
			t.Errorf("clone %v, while it waits: %s", clone, got)
		}
		c.post(api.Reader("D31-nfc", "remove"), struct{}{})
		chat(listA, ack)
	}
	off, on := false, true
	c.post(api.Reader("D31-nfc", "cable"), api.CableBody{Connected: &off})
	if s := c.state().Readers["D31-nfc"]; s.Cable || s.PN532 == nil || s.PN532.Awake || s.Kind != "pn532" {
		t.Errorf("state %+v", s)
	}
	c.post(api.Reader("D31-nfc", "cable"), api.CableBody{Connected: &on})
	chat(wake, sam)

	for _, body := range []any{api.CardBody{Bits: "26:06181cc0"}, api.CardBody{}} {
		if _, err := c.ctl.Post(t.Context(), api.Reader("D31-nfc", "card"), body); !api.Refused(err, problem.BadBody) {
			t.Errorf("%+v: %v", body, err)
		}
	}
	if _, err := c.ctl.Post(t.Context(), api.Reader("D31-nfc", "card"), api.CardBody{Number: "P11"}); !api.Refused(err, problem.UnknownCard) {
		t.Errorf("a card without chip: %v", err)
	}
	if _, err := c.ctl.Post(t.Context(), api.Reader("D31-in", "remove"), struct{}{}); !api.Refused(err, problem.NotSupported) {
		t.Errorf("remove at an OSDP reader: %v", err)
	}
}

// sayFor sends a command and gives n bytes, or fewer after a second's silence.
func (m module) sayFor(command string, n int) string {
	m.t.Helper()
	b, err := hex.DecodeString(command)
	if err == nil && len(b) > 0 {
		_, err = m.f.Write(b)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	got := make([]byte, 0, n)
	for len(got) < n {
		if err := m.f.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			m.t.Fatal(err)
		}
		buf := make([]byte, n-len(got))
		k, err := m.f.Read(buf)
		if got = append(got, buf[:k]...); err != nil {
			break
		}
	}
	return hex.EncodeToString(got)
}
