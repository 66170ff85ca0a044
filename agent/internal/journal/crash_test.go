package journal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk/disktest"
)

// witness remembers what the journal promised, over crashes: what Append
// confirmed, and what Read let out of the house.
type witness struct {
	mu        sync.Mutex
	confirmed map[string]journal.Position // payload → where it stands
	released  map[string]journal.Commitment
	acked     map[journal.Epoch]uint64
	next      int
	badSyncs  bool // a sync that fails while opening leaves a doubt, which is told as a gap
}

func newWitness() *witness {
	return &witness{confirmed: map[string]journal.Position{}, released: map[string]journal.Commitment{},
		acked: map[journal.Epoch]uint64{}}
}

func key(e journal.Epoch, seq uint64) string { return fmt.Sprintf("%s/%d", e, seq) }

// append writes one event of its own and remembers it if it was confirmed.
func (w *witness) append(j *journal.Journal, class journal.Class, size int) error {
	w.mu.Lock()
	w.next++
	payload := fmt.Sprintf("%08d%0*d", w.next, size, 0)
	w.mu.Unlock()
	p, err := write(j, class, []byte(payload))
	if err == nil {
		w.mu.Lock()
		w.confirmed[payload] = p
		w.mu.Unlock()
	}
	return err
}

// deliver reads what is pending, as the uplink does, and acknowledges part of it.
func (w *witness) deliver(j *journal.Journal, upTo int) error {
	n := 0
	for rec, err := range j.Pending() {
		if err != nil {
			return err
		}
		if err := w.release(rec); err != nil {
			return err
		}
		if n++; n == upTo {
			if err := j.Acknowledge(rec.Epoch, rec.Seq); err != nil {
				return err
			}
			w.mu.Lock()
			w.acked[rec.Epoch] = max(w.acked[rec.Epoch], rec.Seq)
			w.mu.Unlock()
			return nil
		}
	}
	return nil
}

// release notes what left the house: one number must never come to mean two events.
func (w *witness) release(rec journal.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := key(rec.Epoch, rec.Seq)
	if was, ok := w.released[k]; ok && was != rec.Commitment {
		return fmt.Errorf("%w: %s was sent as %s and is now %s", errBroken, k, was, rec.Commitment)
	}
	w.released[k] = rec.Commitment
	return nil
}

// errBroken marks a promise that was not kept, as opposed to a disk that failed.
var errBroken = errors.New("broken promise")

// verify compares a reopened journal with the promises.
func (w *witness) verify(j *journal.Journal) error {
	recs, err := history(j)
	if err == nil {
		err = check(recs, w.acked)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	if st, _ := j.Stats(); len(st.Gaps) > 0 && !w.badSyncs {
		return fmt.Errorf("%w: gaps %v on a disk that damaged nothing", errBroken, st.Gaps)
	}
	at := map[string]string{}
	found := map[string]journal.Commitment{}
	for _, r := range recs {
		found[key(r.Epoch, r.Seq)] = r.Commitment
		if r.Event[56] != 'e' {
			continue
		}
		payload := string(r.Event[eventHead:])
		if was, ok := at[payload]; ok {
			return fmt.Errorf("%w: event %.8s stands at %s and at %d", errBroken, payload, was, r.Seq)
		}
		at[payload] = key(r.Epoch, r.Seq)
	}
	return w.compare(at, found)
}

func (w *witness) compare(at map[string]string, found map[string]journal.Commitment) error {
	for payload, p := range w.confirmed {
		k := key(p.Epoch, p.Seq)
		if at[payload] == k || p.Seq <= w.acked[p.Epoch] && found[k] == (journal.Commitment{}) {
			continue // there, or delivered and removed
		}
		return fmt.Errorf("%w: event %.8s was confirmed at %s, and is at %q", errBroken, payload, k, at[payload])
	}
	for k, c := range w.released {
		if got, ok := found[k]; ok && got != c {
			return fmt.Errorf("%w: %s was sent as %s and is now %s", errBroken, k, c, got)
		}
	}
	return nil
}

// script is one life: it opens the journal, works until something fails, and
// tells about promises broken on the way. The disk is cut by the caller.
func script(d *disktest.Disk, w *witness, rng *rand.Rand, writers int) error {
	j, err := journal.Open(context.Background(), d, dir, small())
	if err != nil {
		return nil // cut while opening
	}
	defer j.Close()
	if err := w.verify(j); errors.Is(err, errBroken) && !cut(d) {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, writers+1)
	for i := range writers {
		r := rand.New(rand.NewPCG(rng.Uint64(), 1))
		wg.Go(func() { errs[i] = work(j, w, r) })
	}
	if writers > 1 {
		r := rand.New(rand.NewPCG(rng.Uint64(), 2))
		wg.Go(func() {
			for range 10 {
				errs[writers] = errors.Join(errs[writers], w.deliver(j, r.IntN(30)))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); errors.Is(err, errBroken) && !cut(d) {
		return err
	}
	return nil
}

// cut tells whether the power is off; what is read then means nothing.
func cut(d *disktest.Disk) bool {
	_, err := d.List(dir)
	return err != nil
}

// work appends and delivers until the disk fails or it has done its share.
func work(j *journal.Journal, w *witness, r *rand.Rand) error {
	for range 60 {
		class := journal.Normal
		if r.IntN(4) == 0 {
			class = journal.Safety
		}
		// Mostly one length: then what a cut left of a group lies just where a
		// later record ends, and must not be taken for the one after it.
		err := w.append(j, class, []int{90, 90, 90, 90, 90, 900}[r.IntN(6)])
		if err != nil && !errors.Is(err, journal.ErrFull) {
			return err
		}
		if errors.Is(err, journal.ErrFull) || r.IntN(8) == 0 {
			if err := w.deliver(j, 1+r.IntN(60)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lives runs a journal through several lives on one disk, each ended by a power
// cut or a kill, the first one cut during operation crashAt (0: when it is done).
func lives(seed uint64, crashAt, writers int, arm func(*disktest.Disk), w *witness) error {
	d := disktest.New(seed)
	rng := rand.New(rand.NewPCG(seed, 7))
	for life := range 4 {
		arm(d)
		switch {
		case life == 0 && crashAt > 0:
			d.CrashAt(crashAt)
		case life > 0:
			d.CrashAt(1 + rng.IntN(250))
		}
		if err := script(d, w, rng, writers); err != nil {
			return fmt.Errorf("life %d: %w", life, err)
		}
		if rng.IntN(3) == 0 {
			d.Kill() // what was not synced can still be seen, and can still be lost
		} else {
			d.Crash()
		}
	}
	d.Crash()
	j, err := journal.Open(context.Background(), d, dir, small())
	if err != nil {
		return fmt.Errorf("last opening: %w", err)
	}
	defer j.Close()
	return w.verify(j)
}

func honest(*disktest.Disk) {}

// The first life is cut during each operation in turn [T-40].
func TestPowerCutAtEveryOperation(t *testing.T) {
	d := disktest.New(0)
	if err := script(d, newWitness(), rand.New(rand.NewPCG(0, 7)), 1); err != nil {
		t.Fatal(err)
	}
	total := d.Ops()
	if total < 100 {
		t.Fatalf("the script makes only %d operations", total)
	}
	for n := 1; n <= total; n++ {
		for seed := range uint64(4) {
			if err := lives(seed, n, 1, honest, newWitness()); err != nil {
				t.Fatalf("cut during operation %d of %d, seed %d: %v", n, total, seed, err)
			}
		}
	}
}

// Several goroutines append and deliver, and are cut anywhere [T-40, T-52].
func TestPowerCutUnderLoad(t *testing.T) {
	for seed := range uint64(300) {
		if err := lives(seed, 1+int(seed%300), 4, honest, newWitness()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// Also on a disk whose syncs fail now and then.
func TestPowerCutAndFailingSyncs(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		w := newWitness()
		w.badSyncs = true
		err := lives(seed, 1+r.IntN(400), 3, func(d *disktest.Disk) {
			for range 3 {
				d.FailSync(1 + r.IntN(100))
			}
		}, w)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// Also on a disk that fills up below the budget.
func TestPowerCutOnAFullDisk(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		err := lives(seed, 1+r.IntN(400), 3, func(d *disktest.Disk) { d.LimitBytes(int64(40+r.IntN(40)) << 10) }, newWitness())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The same suite must find a journal out whose syncs do nothing; else it proves
// nothing.
func TestSuiteFindsMissingSyncs(t *testing.T) {
	for _, c := range []struct {
		name         string
		files, names bool
	}{
		{"file sync does nothing", true, false},
		{"directory sync does nothing", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := 0
			const seeds = 200
			for seed := range uint64(seeds) {
				if lives(seed, 1+int(seed%300), 4, func(d *disktest.Disk) { d.Lie(c.files, c.names) }, newWitness()) != nil {
					found++
				}
			}
			if found < seeds/4 {
				t.Fatalf("only %d of %d schedules found it out", found, seeds)
			}
			t.Logf("%d of %d schedules found it out", found, seeds)
		})
	}
}

// countOf is the number in a row that counts refusals.
func countOf(r journal.Record) uint64 { return binary.BigEndian.Uint64(r.Event[eventHead:]) }

// A cut may keep the end of a group and lose its beginning. The next life writes
// one event where the beginning was; the leftover lies right behind it, with the
// next number, and must not be taken for the record after it.
func TestLeftoverOfATornGroupDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(600) {
			d := disktest.New(seed)
			w := newWitness()
			tornGroup(t, d, w)
			d.Crash()
			j := MustOpen(t, d, small())
			if err := w.append(j, journal.Normal, 90); err != nil {
				t.Fatal(err)
			}
			j.Close()
			d.Crash()
			j = MustOpen(t, d, small())
			if err := w.verify(j); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			j.Close()
		}
	})
}

// tornGroup cuts the power while a group of six events is being synced.
func tornGroup(t *testing.T, d *disktest.Disk, w *witness) {
	j := MustOpen(t, d, small())
	defer j.Close()
	if err := w.append(j, journal.Normal, 90); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	gate := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // holds the journal until the others wait in line
		_, err := j.Append(context.Background(), journal.Normal, func(p journal.Position) ([]byte, error) {
			<-gate
			return nil, errors.New("only to hold the line")
		})
		if err == nil {
			t.Error("the event that holds the line was written")
		}
	})
	synctest.Wait()
	for range 6 {
		wg.Go(func() { _ = w.append(j, journal.Normal, 90) })
	}
	synctest.Wait()
	d.CrashAt(2) // their write, then their sync
	close(gate)
	wg.Wait()
}
