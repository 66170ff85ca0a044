package record_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"sekimori/internal/record"
)

var day = time.Date(2026, 6, 15, 9, 0, 0, 123456789, time.UTC)

func someEvent() record.Event {
	return record.Event{V: 1, Device: "DC-31", Epoch: record.Epoch{1}, Seq: 7, Prev: record.Hash{2}, Boot: record.BootID{3}, Mono: time.Minute,
		Wall: day, Quality: record.TimeSynced, Policy: 4, Pack: "標準 1.0", Kind: record.KindGranted,
		Body: json.RawMessage(`{"door":"D31","room":"R31","level":3,"dir":"in","person":"P07","notes":["<>&"]}`)}
}

func mustEncode(tb testing.TB, e record.Event) []byte {
	tb.Helper()
	b, err := e.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestEventRoundTrip(t *testing.T) {
	for name, change := range map[string]func(*record.Event){
		"full":    func(*record.Event) {},
		"no body": func(e *record.Event) { e.Body = nil },
		"no time": func(e *record.Event) { e.Wall, e.Mono, e.Quality = time.Time{}, 0, record.TimeUnsynced },
		"largest": func(e *record.Event) { e.Seq, e.Policy, e.Mono = math.MaxUint64, math.MaxUint64, math.MaxInt64 },
		"unknown": func(e *record.Event) { e.Kind = "of_a_newer_agent" },
	} {
		e := someEvent()
		change(&e)
		b := mustEncode(t, e)
		got, err := record.DecodeEvent(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: %+v (%v), want %+v", name, got, err, e)
		}
		if again := mustEncode(t, got); !bytes.Equal(again, b) {
			t.Errorf("%s: encoded again as\n%s, first\n%s", name, again, b)
		}
	}
}

func TestEventKeepsItsCharacters(t *testing.T) {
	b := mustEncode(t, someEvent())
	if !bytes.Contains(b, []byte(`"<>&"`)) || !bytes.Contains(b, []byte("標準")) || bytes.HasSuffix(b, []byte("\n")) {
		t.Errorf("encoded as %s", b)
	}
}

func TestDecodeEventIsStrict(t *testing.T) {
	good := string(mustEncode(t, someEvent()))
	for name, b := range map[string]string{
		"nothing":           "",
		"null":              "null",
		"a list":            "[]",
		"cut":               good[:len(good)-1],
		"trailing bytes":    good + "x",
		"two events":        good + good,
		"unknown field":     strings.Replace(good, `"v":1`, `"v":1,"name":"髙橋"`, 1),
		"a newer version":   strings.Replace(good, `"v":1`, `"v":2`, 1),
		"no version":        strings.Replace(good, `"v":1,`, ``, 1),
		"no device":         strings.Replace(good, `"DC-31"`, `""`, 1),
		"no seq":            strings.Replace(good, `"seq":7`, `"seq":0`, 1),
		"negative seq":      strings.Replace(good, `"seq":7`, `"seq":-7`, 1),
		"no epoch":          strings.Replace(good, "01"+strings.Repeat("0", 30), strings.Repeat("0", 32), 1),
		"a short epoch":     strings.Replace(good, "01"+strings.Repeat("0", 30), "01", 1),
		"an epoch not hex":  strings.Replace(good, "01"+strings.Repeat("0", 30), strings.Repeat("z", 32), 1),
		"no kind":           strings.Replace(good, `"access_granted"`, `""`, 1),
		"a number as a day": strings.Replace(good, `"2026-06-15T09:00:00.123456789Z"`, `5`, 1),
		"too large":         strings.Replace(good, "標準", strings.Repeat("x", record.MaxEvent), 1),
	} {
		if b == good {
			t.Fatalf("%s: the test changes nothing", name)
		}
		if e, err := record.DecodeEvent([]byte(b)); err == nil {
			t.Errorf("%s: decoded as %+v", name, e)
		}
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	e := someEvent()
	e.Body = json.RawMessage(`"` + strings.Repeat("x", record.MaxEvent) + `"`)
	if _, err := e.Encode(); err == nil {
		t.Error("an event beyond MaxEvent was encoded")
	}
	e.Body = json.RawMessage(`{"broken`)
	if _, err := e.Encode(); err == nil {
		t.Error("a body that is no JSON was encoded")
	}
}

// TestCommitmentHides: the same bytes under another salt are another commitment,
// and nothing of salt and bytes can move between them unseen [T-28].
func TestCommitmentHides(t *testing.T) {
	a := record.Commitment(record.Salt{1}, []byte("event"))
	if b := record.Commitment(record.Salt{2}, []byte("event")); a == b {
		t.Error("two salts give one commitment")
	}
	if b := record.Commitment(record.Salt{1}, []byte("evens")); a == b {
		t.Error("two events give one commitment")
	}
	if b := record.Commitment(record.Salt{1}, []byte("event")); a != b {
		t.Error("one event gives two commitments")
	}
	seen := map[any]bool{}
	for range 10 {
		seen[record.NewSalt()], seen[record.NewEpoch()], seen[record.NewBootID()] = true, true, true
	}
	if len(seen) != 30 {
		t.Errorf("30 random values are %d different ones", len(seen))
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add(mustEncode(f, someEvent()))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := record.DecodeEvent(b)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil {
			return // escapes can make it longer than the limit
		}
		if e2, err := record.DecodeEvent(again); err != nil || e2.Seq != e.Seq || e2.Kind != e.Kind || e2.Epoch != e.Epoch {
			t.Errorf("%+v came back as %+v (%v)", e, e2, err)
		}
	})
}

func TestDeviceIDs(t *testing.T) {
	for s, ok := range map[string]bool{"DC-31": true, "a": true, "0_x": true, strings.Repeat("a", 32): true,
		"": false, "-a": false, strings.Repeat("a", 33): false, "a b": false, "a/b": false, "a+": false, "#": false, "市民課": false, "a\n": false, "a\x00": false} {
		if _, err := record.ParseDeviceID(s); (err == nil) != ok {
			t.Errorf("ParseDeviceID(%q): %v", s, err)
		}
	}
}

func TestTopics(t *testing.T) {
	for _, c := range append(record.FromDevice, record.ToDevice...) {
		d, got, err := record.ParseTopic(record.Topic("DC-31", c))
		if err != nil || d != "DC-31" || got != c {
			t.Errorf("%s: %s %s (%v)", c, d, got, err)
		}
	}
	for _, s := range []string{"", "sekimori/1/", "sekimori/1/DC-31", "sekimori/1/DC-31/", "sekimori/1//up", "sekimori/2/DC-31/up", "/sekimori/1/DC-31/up",
		"sekimori/1/DC-31/up/", "sekimori/1/DC-31/up/x", "sekimori/1/+/up", "sekimori/1/#", "sekimori/1/DC-31/+", "sekimori/1/DC-31/UP",
		record.HubFilter(record.ChannelUp), "$SYS/x"} {
		if d, c, err := record.ParseTopic(s); err == nil {
			t.Errorf("%q was read as %s %s", s, d, c)
		}
	}
}
