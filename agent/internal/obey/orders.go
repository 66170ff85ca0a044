package obey

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
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

// Orders executes signed orders, each once [T-07].
type Orders struct {
	path   string
	device record.DeviceID
	keys   func() []record.PublicKey
	time   Time
	facts  Facts
	doors  Doors

	mu   sync.Mutex
	last uint64 // guarded by mu
}

// NewOrders remembers in dir which orders were executed.
func NewOrders(dir string, device record.DeviceID, keys func() []record.PublicKey, t Time, f Facts, d Doors) (*Orders, error) {
	o := &Orders{path: filepath.Join(dir, "orders.json"), device: device, keys: keys, time: t, facts: f, doors: d}
	if _, err := files.ReadJSON(o.path, &o.last); err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	return o, nil
}

// Last is the number of the newest order that was executed.
func (o *Orders) Last() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// Execute checks an order and carries it out. The number is remembered before
// anything is done, so that a crash in between loses the order rather than
// doing it twice; the hub sees that it was not confirmed.
func (o *Orders) Execute(ctx context.Context, sealed []byte) error {
	var order record.Order
	if _, err := record.Unseal(o.keys(), record.TypeOrder, sealed, &order); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case order.Device != o.device:
		return record.Fail(record.CodeWrongDevice, fmt.Errorf("order for %s", order.Device))
	case order.Seq == o.last:
		return nil // sent again before our confirmation arrived
	case order.Seq < o.last:
		return record.Fail(record.CodeOrderOld, fmt.Errorf("order %d came after %d", order.Seq, o.last))
	case o.time.Wall().After(order.Deliver):
		return record.Fail(record.CodeOrderExpired, fmt.Errorf("order %d was to be delivered by %s", order.Seq, order.Deliver.Format(time.RFC3339)))
	}
	if err := files.WriteJSON(o.path, order.Seq); err != nil {
		return fmt.Errorf("remember order: %w", err)
	}
	o.last = order.Seq
	if err := o.carryOut(ctx, order); err != nil {
		return err
	}
	return o.facts.Write(ctx, record.KindOrderExecuted, record.OrderExecuted{Seq: order.Seq, Purpose: order.Purpose, Issuer: order.Issuer}, true)
}

func (o *Orders) carryOut(ctx context.Context, order record.Order) error {
	switch order.Purpose {
	case record.PurposeRearm, record.PurposeCloseRoom, record.PurposeReopenRoom:
		var body record.DoorOrder
		if err := record.DecodeBody(order.Body, &body); err != nil {
			return record.Fail(record.CodeMalformed, err)
		}
		return o.doors.Send(ctx, decide.Ordered{Door: body.Door, Order: order})
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
