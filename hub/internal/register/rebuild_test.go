package register_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
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
// rows byte for byte [T-40, T-41].
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
			w.rebuild()
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

// rebuild projects the whole ledger again.
func (w *town) rebuild() {
	w.tb.Helper()
	err := w.st.Update(w.tb.Context(), func(tx store.Tx) error { return register.Rebuilder{}.Rebuild(w.tb.Context(), tx) })
	if err != nil {
		w.tb.Fatal(err)
	}
}

// verify compares the registers with the ledger, as `sekimori-hub verify` does.
func (w *town) verify() []ledger.Finding {
	w.tb.Helper()
	r, err := ledger.Verify(w.tb.Context(), w.st, ledger.VerifyOptions{LogKey: w.ledger.VerifierKey(), SkipSignatures: true, Rebuilder: register.Rebuilder{}})
	if err != nil {
		w.tb.Fatal(err)
	}
	var of []ledger.Finding // the town's events have no chain; only its registers are looked at
	for _, f := range r.Findings {
		if strings.Contains(f.Detail.EN, "register") {
			of = append(of, f)
		}
	}
	return of
}

// Verification names the register, the number and the kind of damage.
func TestVerifyFindsDamagedRegisters(t *testing.T) {
	w := newTown(t)
	w.random(rand.New(rand.NewPCG(1, 1)), 200)
	w.commit()
	if found := w.verify(); len(found) != 0 {
		t.Fatalf("sound registers: %d findings, %+v", len(found), found[0])
	}
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
	named := map[string]bool{}
	for _, f := range w.verify() {
		named[fmt.Sprint(f.Damage, " ", f.Register, " ", f.Series, " ", f.Number)] = true
	}
	for _, want := range []string{
		fmt.Sprint(ledger.Changed, " REG-01 ", victim.Series, " ", victim.Number), fmt.Sprint(ledger.Changed, " REG-01 R99 1"),
	} {
		if !named[want] {
			t.Errorf("not named: %s; got %v", want, named)
		}
	}
	// Registers emptied by hand, with the cursor left: everything is missing.
	if err := w.st.Update(t.Context(), func(tx store.Tx) error { return tx.ClearRegisters() }); err != nil {
		t.Fatal(err)
	}
	if found := w.verify(); len(found) == 0 || found[0].Damage != ledger.Missing {
		t.Errorf("emptied registers: %d findings", len(found))
	}
	w.rebuild()
	if found := w.verify(); len(found) != 0 {
		t.Errorf("after the rebuild: %d findings, %+v", len(found), found[0])
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
