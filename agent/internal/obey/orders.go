package obey

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/files"
	"sekimori/internal/record"
)

// Time is what orders need of the clock.
type Time interface {
	Wall() time.Time
	Allow(to time.Time)
}

// Orders executes signed orders, each once [T-07]. Its methods may be called
// from any goroutine; Last never waits for the doors or the disk.
type Orders struct {
	path   string
	device record.DeviceID
	keys   func() []record.PublicKey
	time   Time
	facts  Facts
	doors  Doors

	last atomic.Uint64
	one  sync.Mutex // held by one order
}

// taken is the newest order that was taken. Done means that its outcome was
// written down.
type taken struct {
	Seq  uint64 `json:"seq"`
	Done bool   `json:"done"`
}

// NewOrders remembers in dir which orders were executed.
func NewOrders(dir string, device record.DeviceID, keys func() []record.PublicKey, t Time, f Facts, d Doors) *Orders {
	return &Orders{path: filepath.Join(dir, "orders.json"), device: device, keys: keys, time: t, facts: f, doors: d}
}

// Resume reads which order was the newest, and reports one whose outcome the
// last run did not write down. The error is for the log: when the file cannot be
// read it is set aside and reported, and an order may come twice within its
// delivery limit, which the doors notice for themselves.
func (o *Orders) Resume(ctx context.Context) error {
	o.one.Lock()
	defer o.one.Unlock()
	var t taken
	if _, err := files.ReadJSON(o.path, &t); err != nil {
		fact := o.report(ctx, "the number of the newest order is lost: "+err.Error())
		return errors.Join(err, files.SetAside(o.path), fact)
	}
	o.last.Store(t.Seq)
	if t.Seq == 0 || t.Done {
		return nil
	}
	if err := o.report(ctx, fmt.Sprintf("order %d was taken, and the program stopped before its outcome was written down; it is not tried again", t.Seq)); err != nil {
		return err
	}
	return o.remember(taken{t.Seq, true})
}

func (o *Orders) report(ctx context.Context, detail string) error {
	return o.facts.Write(ctx, record.KindOrderRejected, record.Rejected{Code: record.CodeOrderUnknown, Detail: detail}, true)
}

func (o *Orders) remember(t taken) error {
	if err := files.WriteJSON(o.path, t); err != nil {
		return fmt.Errorf("remember order %d: %w", t.Seq, err)
	}
	return nil
}

// Last is the number of the newest order that was taken.
func (o *Orders) Last() uint64 { return o.last.Load() }

// Execute checks an order and carries it out. The number is remembered before
// anything is done, so that a crash in between loses the order rather than
// doing it twice; Resume then reports it. Errors with a code tell why it was not
// obeyed, for the caller to write down.
func (o *Orders) Execute(ctx context.Context, sealed []byte) error {
	var order record.Order
	if _, err := record.Unseal(o.keys(), record.TypeOrder, sealed, &order); err != nil {
		return err
	}
	o.one.Lock()
	defer o.one.Unlock()
	last := o.last.Load()
	switch {
	case order.Device != o.device:
		return record.Fail(record.CodeWrongDevice, fmt.Errorf("order for %s", order.Device))
	case order.Seq == last && last != 0:
		return nil // sent again before our confirmation arrived
	case order.Seq <= last:
		return record.Fail(record.CodeOrderOld, fmt.Errorf("order %d came after %d", order.Seq, last))
	case o.time.Wall().After(order.Deliver):
		return record.Fail(record.CodeOrderExpired, fmt.Errorf("order %d was to be delivered by %s", order.Seq, order.Deliver.Format(time.RFC3339)))
	}
	if err := o.remember(taken{order.Seq, false}); err != nil {
		return record.Fail(record.CodeStoreFailed, err)
	}
	o.last.Store(order.Seq)
	err := o.carryOut(ctx, order)
	if err == nil {
		err = o.facts.Write(ctx, record.KindOrderExecuted, record.OrderExecuted{Seq: order.Seq, Purpose: order.Purpose, Issuer: order.Issuer}, true)
	}
	if err != nil && record.CodeOf(err) == "" {
		return fmt.Errorf("order %d: %w", order.Seq, err) // the outcome is open; the next start reports it
	}
	return errors.Join(err, o.remember(taken{order.Seq, true}))
}

func (o *Orders) carryOut(ctx context.Context, order record.Order) error {
	switch order.Purpose {
	case record.PurposeRearm, record.PurposeCloseRoom, record.PurposeReopenRoom:
		var body record.DoorOrder
		if err := record.DecodeBody(order.Body, &body); err != nil {
			return record.Fail(record.CodeMalformed, err)
		}
		return o.doors.Do(ctx, decide.Ordered{Door: body.Door, Order: order})
	case record.PurposeClockStep:
		var body record.ClockOrder
		if err := record.DecodeBody(order.Body, &body); err != nil {
			return record.Fail(record.CodeMalformed, err)
		}
		o.time.Allow(body.To)
		return nil
	}
	return record.Fail(record.CodeOrderUnknown, fmt.Errorf("order for %q", order.Purpose))
}
