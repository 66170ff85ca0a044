package obey_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/obey"
	"sekimori/internal/record"
)

// orderClock is the clock orders are judged by.
type orderClock struct{ now, allowed time.Time }

func (c *orderClock) Wall() time.Time    { return c.now }
func (c *orderClock) Allow(to time.Time) { c.allowed = to }

var noon = time.Date(2026, 6, 15, 3, 0, 0, 0, time.UTC)

func rearm(seq uint64) record.Order {
	return record.Order{Device: device, Seq: seq, Purpose: record.PurposeRearm, Issuer: "P01", Deliver: noon.Add(time.Hour)}
}

// [T-07] Each order at most once, in rising order, within its time, for this
// device only.
func TestOrders(t *testing.T) {
	hub, w, c := signer(t), &world{}, &orderClock{now: noon}
	o := obey.NewOrders(t.TempDir(), device, only(hub), c, w, w)
	if err := o.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	to := record.DoorOrder{Door: "D31"}
	other, late, unknown, step := rearm(6), rearm(6), rearm(6), rearm(8)
	other.Device, late.Deliver, unknown.Purpose, step.Purpose = "DC-21", noon.Add(-time.Second), "make_coffee", record.PurposeClockStep
	for _, x := range []struct {
		name   string
		sealed []byte
		code   record.Code
		last   uint64
	}{
		{"number 0", sealOrder(t, hub, rearm(0), to), record.CodeOrderOld, 0},
		{"the first", sealOrder(t, hub, rearm(5), to), "", 5},
		{"the same again", sealOrder(t, hub, rearm(5), to), "", 5},
		{"an older one", sealOrder(t, hub, rearm(4), to), record.CodeOrderOld, 5},
		{"somebody else's signature", sealOrder(t, signer(t), rearm(6), to), record.CodeBadSignature, 5},
		{"rubbish", []byte("{}"), record.CodeBadSignature, 5},
		{"another device's", sealOrder(t, hub, other, to), record.CodeWrongDevice, 5},
		{"too late", sealOrder(t, hub, late, to), record.CodeOrderExpired, 5},
		{"a purpose nobody knows", sealOrder(t, hub, unknown, to), record.CodeOrderUnknown, 6},
		{"a body that is none", sealOrder(t, hub, rearm(7), 7), record.CodeMalformed, 7},
		{"a step of the clock", sealOrder(t, hub, step, record.ClockOrder{To: noon}), "", 8},
	} {
		if err := o.Execute(t.Context(), x.sealed); record.CodeOf(err) != x.code || (err != nil) != (x.code != "") {
			t.Errorf("%s: %v, want %q", x.name, err, x.code)
		}
		if o.Last() != x.last {
			t.Errorf("%s: last is %d, want %d", x.name, o.Last(), x.last)
		}
	}
	if len(w.done) != 1 || w.done[0].(decide.Ordered).Order.Seq != 5 || !c.allowed.Equal(noon) {
		t.Errorf("at the doors: %+v; clock allowed to %v", w.done, c.allowed)
	}
	want := []fact{
		{record.KindOrderExecuted, record.OrderExecuted{Seq: 5, Purpose: record.PurposeRearm, Issuer: "P01"}},
		{record.KindOrderExecuted, record.OrderExecuted{Seq: 8, Purpose: record.PurposeClockStep, Issuer: "P01"}},
	}
	if !reflect.DeepEqual(w.facts, want) {
		t.Errorf("facts %+v", w.facts)
	}
}

// What the door refuses is not confirmed.
func TestOrderRefusedByTheDoor(t *testing.T) {
	hub, w := signer(t), &world{}
	w.doors = func(decide.Input) error { return record.Fail(record.CodeOrderUnknown, errors.New("still burning")) }
	o := obey.NewOrders(t.TempDir(), device, only(hub), &orderClock{now: noon}, w, w)
	err := o.Execute(t.Context(), sealOrder(t, hub, rearm(1), record.DoorOrder{Door: "D31"}))
	if record.CodeOf(err) != record.CodeOrderUnknown || len(w.facts) != 0 {
		t.Fatalf("%v, facts %v", err, w.facts)
	}
}

// [T-07] A crash between remembering and doing loses the order and never doubles
// it; the next start says so, once.
func TestOrderCutOff(t *testing.T) {
	hub, dir := signer(t), t.TempDir()
	sealed := sealOrder(t, hub, rearm(3), record.DoorOrder{Door: "D31"})
	start := func(w *world) *obey.Orders {
		t.Helper()
		o := obey.NewOrders(dir, device, only(hub), &orderClock{now: noon}, w, w)
		if err := o.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		return o
	}
	cut := &world{doors: func(decide.Input) error { return errors.New("the program is stopped") }}
	if err := start(cut).Execute(t.Context(), sealed); err == nil || record.CodeOf(err) != "" {
		t.Fatalf("err %v", err)
	}
	w := &world{}
	o := start(w)
	if !slices.Equal(w.kinds(), []record.Kind{record.KindOrderRejected}) || o.Last() != 3 {
		t.Fatalf("facts %+v, last %d", w.facts, o.Last())
	}
	if err := o.Execute(t.Context(), sealed); err != nil || len(w.done) != 0 {
		t.Fatalf("doubled: %v %v", err, w.done)
	}
	if again := (&world{}); start(again) != nil && len(again.facts) != 0 {
		t.Fatalf("reported again: %+v", again.facts)
	}
}

// A number that cannot be remembered is not used.
func TestOrderThatCannotBeRemembered(t *testing.T) {
	hub, w := signer(t), &world{}
	o := obey.NewOrders(filepath.Join(t.TempDir(), "gone"), device, only(hub), &orderClock{now: noon}, w, w)
	err := o.Execute(t.Context(), sealOrder(t, hub, rearm(1), record.DoorOrder{Door: "D31"}))
	if record.CodeOf(err) != record.CodeStoreFailed || len(w.done) != 0 || o.Last() != 0 {
		t.Fatalf("%v, done %v, last %d", err, w.done, o.Last())
	}
}

// A damaged file does not keep the device from starting; people are told.
func TestOrdersFileDamaged(t *testing.T) {
	dir, w := t.TempDir(), &world{}
	if err := os.WriteFile(filepath.Join(dir, "orders.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := obey.NewOrders(dir, device, only(signer(t)), &orderClock{now: noon}, w, w)
	if err := o.Resume(t.Context()); err == nil || !slices.Equal(w.kinds(), []record.Kind{record.KindOrderRejected}) {
		t.Fatalf("%v, facts %+v", err, w.facts)
	}
	if err := o.Resume(t.Context()); err != nil || len(w.facts) != 1 {
		t.Fatalf("reported again: %v %+v", err, w.facts)
	}
}
