package agent

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk"
	"sekimori/agent/internal/uplink"
	"sekimori/internal/record"
)

// numbered opens a journal whose events are their own sequence numbers.
func numbered(t *testing.T, dir string) outbox {
	t.Helper()
	build := func(p journal.Position) ([]byte, error) { return json.Marshal(p.Seq) }
	j, err := journal.Open(t.Context(), disk.OS{}, dir, journal.Options{
		Notice: func(p journal.Position, _ journal.Notice) ([]byte, error) { return build(p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	for range 9 { // after the row that begins the epoch
		if _, err := j.Append(t.Context(), journal.Normal, build); err != nil {
			t.Fatal(err)
		}
	}
	return outbox{j}
}

func seqs(list []uplink.Entry) string {
	out := []uint64{}
	for _, e := range list {
		out = append(out, e.Seq)
	}
	return fmt.Sprint(out)
}

// The uplink sends from the last receipt, from where it is, or, when the journal
// knows nothing of where it was, from the oldest event that is not delivered.
func TestOutboxAfter(t *testing.T) {
	o := numbered(t, t.TempDir())
	epoch := record.Epoch(o.Epochs()[0].Epoch)
	if err := o.Held([]record.Held{{Epoch: epoch, Seq: 4}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		epoch record.Epoch
		seq   uint64
		n     int
		want  string
	}{
		{"from the last receipt", record.Epoch{}, 0, 100, "[5 6 7 8 9 10]"},
		{"from where it is", epoch, 7, 100, "[8 9 10]"},
		{"a few", epoch, 7, 2, "[8 9]"},
		{"nothing more", epoch, 10, 100, "[]"},
		{"of an epoch that was delivered and removed", record.Epoch{0xEE}, 3, 100, "[5 6 7 8 9 10]"},
	} {
		got, err := o.After(c.epoch, c.seq, c.n, 1<<20)
		if err != nil || seqs(got) != c.want {
			t.Errorf("%s: %s %v, want %s", c.name, seqs(got), err, c.want)
		}
	}
}

// A hub that holds less than it did was restored: what follows is offered again.
func TestOutboxHeld(t *testing.T) {
	o := numbered(t, t.TempDir())
	epoch := record.Epoch(o.Epochs()[0].Epoch)
	for _, c := range []struct {
		held []record.Held
		want uint64 // the next one to send
	}{
		{[]record.Held{{Epoch: epoch, Seq: 8}}, 9},
		{[]record.Held{{Epoch: record.Epoch{0xEE}, Seq: 5}}, 1}, // it does not know us any more
		{[]record.Held{{Epoch: epoch, Seq: 8}}, 9},
		{[]record.Held{{Epoch: epoch, Seq: 3}}, 4},
	} {
		if err := o.Held(c.held); err != nil {
			t.Fatal(err)
		}
		got, err := o.After(record.Epoch{}, 0, 1, 1<<20)
		if err != nil || len(got) != 1 || got[0].Seq != c.want {
			t.Errorf("held %v: next %s %v, want %d", c.held, seqs(got), err, c.want)
		}
	}
	select {
	case <-o.Changed():
	case <-time.After(5 * time.Second):
		t.Error("nobody was told that there is something to send")
	}
}
