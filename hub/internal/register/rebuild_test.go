package register_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// random states facts of several devices, reordered and late, with bodies that
// make sense and some that do not.
func (w *town) random(rng *rand.Rand, n int) {
	rooms := []record.RoomCode{"R31", "R21", "R22"}
	who := []record.PersonID{"P01", "P05", "P07", "P08", ""}
	begin := time.Date(2026, 3, 31, 12, 0, 0, 0, jst) // across the change of 年度
	for i := range n {
		room, p := rooms[rng.IntN(len(rooms))], who[rng.IntN(len(who))]
		d := record.DeviceID(fmt.Sprintf("DC-%d", rng.IntN(4)))
		when := begin.Add(time.Duration(i) * time.Minute).Add(time.Duration(rng.IntN(600)-300) * time.Second)
		received := when.Add(time.Duration(rng.IntN(3)) * 40 * time.Minute)
		kind := []record.Kind{record.KindEntered, record.KindEntered, record.KindExited, record.KindExited, record.KindExitFree, record.KindKeyEntry,
			record.KindDenied, record.KindFireRelease, record.KindFireEnded, record.KindRearmed, record.KindForcedOpen, record.KindDoorClosed,
			record.KindTamper, record.KindTamperEnded, record.KindGranted, record.KindBooted, record.KindReaderOffline, "of_tomorrow",
			ledger.KindEntryByHand, ledger.KindStayClosed}[rng.IntN(20)]
		switch kind {
		case record.KindEntered, record.KindExited, record.KindDenied, record.KindGranted, record.KindKeyEntry:
			q := in(p, room)
			if kind == record.KindDenied {
				q.Reason = []record.Reason{record.ReasonUnknownCredential, record.ReasonNoPermit}[rng.IntN(2)]
			}
			w.state(d, kind, q, when, received)
		case ledger.KindEntryByHand:
			w.human("P01", kind, ledger.EntryByHand{Room: room, Person: p, Entered: when, Method: record.MethodKey}, received)
		case ledger.KindStayClosed:
			w.human("P01", kind, ledger.StayClosed{Room: room, Number: int64(1 + rng.IntN(20)), Year: 2025 + rng.IntN(2), Exited: when, Reason: "r"}, received)
		default:
			w.state(d, kind, door(room), when, received)
		}
	}
}

// Whatever comes in whatever order: numbers have no gap, a rebuild gives the same
// rows byte for byte, and so does the comparison in memory [T-40, T-41].
func TestRebuildEqualsIncremental(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newTown(t)
			rng := rand.New(rand.NewPCG(seed, 42))
			for range 8 {
				w.random(rng, 60)
				w.commit() // projected in steps of different sizes
			}
			rows := w.all()
			if len(rows) < 150 {
				t.Fatalf("only %d rows", len(rows))
			}
			gapless(t, rows)
			if diff, err := register.Compare(t.Context(), w.st); err != nil || len(diff) != 0 {
				t.Fatalf("compare: %v, %v", diff, err)
			}
			if err := w.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
			again := w.all()
			if len(again) != len(rows) {
				t.Fatalf("%d rows, rebuilt %d", len(rows), len(again))
			}
			for n := range rows {
				if !reflect.DeepEqual(rows[n], again[n]) {
					t.Fatalf("row %d\n%+v %s\nrebuilt\n%+v %s", n, rows[n], rows[n].Data, again[n], again[n].Data)
				}
			}
		})
	}
}

func gapless(t *testing.T, rows []store.RegisterRow) {
	t.Helper()
	next := map[string]int64{}
	for _, r := range rows {
		k := fmt.Sprint(r.Register, "/", r.Series, "/", r.FiscalYear)
		next[k]++
		if r.Number != next[k] {
			t.Fatalf("%s: number %d, want %d", k, r.Number, next[k])
		}
		var s int
		if s = r.At.In(jst).Year(); r.At.In(jst).Month() < time.April {
			s--
		}
		if s != r.FiscalYear {
			t.Fatalf("%s holds a row of %s", k, r.At)
		}
	}
}

// Compare names the register, the number and the kind of damage.
func TestCompareFindsDamage(t *testing.T) {
	w := newTown(t)
	w.random(rand.New(rand.NewPCG(1, 1)), 200)
	w.commit()
	victim := w.stays()[3].RegisterRow
	err := w.st.Update(t.Context(), func(tx store.Tx) error {
		changed := victim
		changed.Person = "P99"
		if err := tx.PutRegisterRow(changed); err != nil {
			return err
		}
		_, err := tx.AddRegisterRow(store.RegisterRow{Register: register.Entries, Series: "R99", FiscalYear: 2026, At: at("10:00:00"), Data: []byte("{}")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	diff, err := register.Compare(t.Context(), w.st)
	if err != nil || len(diff) != 2 {
		t.Fatalf("%v, %v", diff, err)
	}
	for _, d := range diff {
		switch d.Damage {
		case register.DamageChanged:
			if d.Number != victim.Number || d.Series != victim.Series || d.Field != "person" {
				t.Errorf("changed: %s", d)
			}
		case register.DamageExtra:
			if d.Series != "R99" || d.Number != 1 {
				t.Errorf("extra: %s", d)
			}
		default:
			t.Errorf("unexpected: %s", d)
		}
	}
	// Registers emptied by hand, with the cursor left: everything is missing.
	if err := w.st.Update(t.Context(), func(tx store.Tx) error { return tx.ClearRegisters() }); err != nil {
		t.Fatal(err)
	}
	diff, err = register.Compare(t.Context(), w.st)
	if err != nil || len(diff) == 0 || diff[0].Damage != register.DamageMissing {
		t.Errorf("%d differences, %v", len(diff), err)
	}
	if err := w.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff, err = register.Compare(t.Context(), w.st); err != nil || len(diff) != 0 {
		t.Errorf("after the rebuild: %v, %v", diff, err)
	}
}

// Run follows the ledger and stops with its context.
func TestRunFollows(t *testing.T) {
	w := newTown(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("09:00:00"))
	if err := w.st.Update(t.Context(), func(tx store.Tx) error {
		_, err := w.ledger.Append(tx, w.batch)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for {
		changed := w.st.Changed()
		if len(w.stays()) == 1 {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("the register did not follow")
		}
	}
}

// BenchmarkProject is ledger rows projected per second: half entries, half exits.
func BenchmarkProject(b *testing.B) {
	w := newTown(b)
	for n := range b.N {
		when := at("09:00:00").Add(time.Duration(n) * time.Second)
		p := []record.PersonID{"P01", "P05", "P07", "P08"}[n/2%4]
		if n%2 == 0 {
			w.device("DC-31", record.KindEntered, in(p, "R31"), when)
		} else {
			w.device("DC-31", record.KindExited, out(p, "R31"), when)
		}
	}
	if err := w.st.Update(b.Context(), func(tx store.Tx) error {
		_, err := w.ledger.Append(tx, w.batch)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	if err := w.CatchUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
