package record_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/internal/record"
)

func somePolicy(credentials int) record.Policy {
	p := record.Policy{Device: "DC-31", Version: 7, Pack: "標準 1.0",
		Doors:      []record.DoorPolicy{{Door: "D31", Room: "R31", Level: 3, Second: record.SecondPIN, SecondWindow: 15 * time.Second, Release: 5 * time.Second}},
		Permits:    []record.Permit{{Person: "P07", Rooms: []record.RoomCode{"R31"}, From: day, Until: day.Add(time.Hour)}},
		Schedules:  []record.Schedule{{ID: "S1", Weekly: [7][]record.Span{1: {{From: 510, To: 1035}}}}},
		ClosedDays: []record.Date{"2026-12-29"}, Attempts: record.Attempts{Limit: 3, Within: time.Minute, Lock: time.Hour}}
	for i := range credentials {
		// A hash does not compress, as tags do not: many chunks.
		sum := sha256.Sum256(fmt.Append(nil, i))
		p.Credentials = append(p.Credentials, record.Credential{ID: record.CredentialID(fmt.Sprint("C", i)), Person: "P07",
			Tag: record.CredentialTag(fmt.Sprintf("%x", sum[:16])), State: record.CredentialActive})
	}
	return p
}

func TestPolicyTravelsWhole(t *testing.T) {
	s := edSigner(t, 1)
	for _, credentials := range []int{0, 10_000} {
		want := somePolicy(credentials)
		head, chunks, err := record.PackPolicy(s, want, day)
		if err != nil {
			t.Fatal(err)
		}
		if credentials > 0 && len(chunks) < 3 {
			t.Fatalf("%d credentials make %d chunks: the test wants several", credentials, len(chunks))
		}
		for _, c := range chunks {
			if len(c) > record.PolicyChunkSize {
				t.Errorf("a chunk of %d bytes", len(c))
			}
		}
		got, err := record.UnpackPolicy([]record.PublicKey{s.Public()}, "DC-31", head, chunks)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d credentials came back otherwise (%v)", credentials, err)
		}
	}
}

// TestPolicyTampering: whole or not at all [T-53].
func TestPolicyTampering(t *testing.T) {
	s := edSigner(t, 1)
	keys := []record.PublicKey{s.Public()}
	head, chunks, err := record.PackPolicy(s, somePolicy(10_000), day)
	if err != nil {
		t.Fatal(err)
	}
	pack := func(change func(*record.Policy)) ([]byte, [][]byte) {
		p := somePolicy(0)
		change(&p)
		h, c, err := record.PackPolicy(s, p, day)
		if err != nil {
			t.Fatal(err)
		}
		return h, c
	}
	otherHead, otherChunks := pack(func(p *record.Policy) { p.Version = 8 })
	flipped := bytes.Clone(chunks[1])
	flipped[100] ^= 1
	garbage := []byte("not deflated")
	garbageHead, err := record.Seal(s, record.TypePolicy, record.PolicyHead{Device: "DC-31", Version: 7, Chunks: []record.Hash{sha256.Sum256(garbage)}})
	if err != nil {
		t.Fatal(err)
	}
	lyingHead, err := record.Seal(s, record.TypePolicy, record.PolicyHead{Device: "DC-31", Version: 9, Chunks: []record.Hash{sha256.Sum256(otherChunks[0])}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys   []record.PublicKey
		device record.DeviceID
		head   []byte
		chunks [][]byte
		code   record.Code
	}{
		"another key":              {[]record.PublicKey{edSigner(t, 2).Public()}, "DC-31", head, chunks, record.CodeBadSignature},
		"another device":           {keys, "DC-32", head, chunks, record.CodeWrongDevice},
		"a chunk missing":          {keys, "DC-31", head, chunks[:len(chunks)-1], record.CodeMalformed},
		"a chunk too many":         {keys, "DC-31", head, append(slices.Clone(chunks), garbage), record.CodeMalformed},
		"no chunks":                {keys, "DC-31", head, nil, record.CodeMalformed},
		"swapped chunks":           {keys, "DC-31", head, append([][]byte{chunks[1], chunks[0]}, chunks[2:]...), record.CodeBadSignature},
		"a flipped bit":            {keys, "DC-31", head, append([][]byte{chunks[0], flipped}, chunks[2:]...), record.CodeBadSignature},
		"chunks of another policy": {keys, "DC-31", otherHead, [][]byte{chunks[0]}, record.CodeBadSignature},
		"a cut head":               {keys, "DC-31", head[:len(head)-2], chunks, record.CodeMalformed},
		"signed garbage":           {keys, "DC-31", garbageHead, [][]byte{garbage}, record.CodeMalformed},
		"another version inside":   {keys, "DC-31", lyingHead, otherChunks, record.CodeMalformed},
	} {
		if _, err := record.UnpackPolicy(c.keys, c.device, c.head, c.chunks); record.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// TestPolicyBomb: a small policy must not unpack to more memory than a door
// controller has.
func TestPolicyBomb(t *testing.T) {
	s := edSigner(t, 1)
	p := somePolicy(0)
	p.Pack = strings.Repeat("0", record.MaxPolicy)
	head, chunks, err := record.PackPolicy(s, p, day)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.UnpackPolicy([]record.PublicKey{s.Public()}, "DC-31", head, chunks); record.CodeOf(err) != record.CodeMalformed {
		t.Errorf("%d chunks unpacked to more than %d bytes: %v", len(chunks), record.MaxPolicy, err)
	}
}
