package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// deliverWithin is how long an order may travel. What it ordered stays in force
// once executed; only the wrapper ends [T-07].
const deliverWithin = 24 * time.Hour

// Issue is who orders what.
type Issue struct {
	Device  record.DeviceID
	Purpose record.Purpose
	Issuer  ledger.Resolved
	Role    record.PostID
	Reason  string
	Body    any
	Via     string
}

// IssueOrder signs an order, writes it down, keeps it until it is executed or
// ends, and sends it. Whether the issuer may was decided before. An order that
// could not be written down is not given: the error has CodeStoreFailed.
func (s *Service) IssueOrder(ctx context.Context, i Issue) (uint64, error) {
	body, err := json.Marshal(i.Body)
	if err != nil {
		return 0, fmt.Errorf("order: %w", err)
	}
	now := clock.Now().UTC()
	order := record.Order{
		Device: i.Device, Purpose: i.Purpose, Issuer: i.Issuer.Person, Role: i.Role,
		Issued: now, Deliver: now.Add(deliverWithin), Reason: i.Reason, Body: body,
	}
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		d, err := tx.Device(i.Device)
		if err != nil {
			return err
		}
		order.Seq = max(d.LastOrder, executed(d)) + 1
		sealed, err := record.Seal(s.Orders, record.TypeOrder, order)
		if err != nil {
			return err
		}
		kept, err := json.Marshal(waiting{order.Deliver, sealed})
		if err != nil {
			return err
		}
		d.LastOrder = order.Seq
		return errors.Join(tx.PutDevice(d), tx.PutState(orderState(i.Device, order.Seq), kept),
			s.fact(tx, ledger.KindOrderIssued, &i.Issuer, i.Via, order, now))
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, fmt.Errorf("order for %s: %w", i.Device, err)
	case err != nil:
		return 0, record.Fail(record.CodeStoreFailed, fmt.Errorf("order for %s: %w", i.Device, err))
	}
	s.PushOrders(i.Device)
	return order.Seq, nil
}

// waiting is an order that its device has not executed.
type waiting struct {
	Deliver time.Time `json:"deliver_by"`
	Sealed  []byte    `json:"sealed"`
}

func orderState(d record.DeviceID, seq uint64) string {
	return fmt.Sprintf("order/%s/%020d", d, seq)
}

// executed is the newest order the device says it has executed.
func executed(d store.DeviceState) uint64 {
	var s record.Status
	if len(d.Status) == 0 || json.Unmarshal(d.Status, &s) != nil {
		return 0
	}
	return s.LastOrder
}

// sendOrders sends what the device has not executed, in order, and forgets what
// it has.
func (s *Service) sendOrders(ctx context.Context, device record.DeviceID) error {
	var kept map[string][]byte
	var done uint64
	err := s.Store.View(ctx, func(tx store.ReadTx) error {
		d, err := tx.Device(device)
		if err != nil {
			return err
		}
		done = executed(d)
		kept, err = tx.States("order/" + string(device) + "/")
		return err
	})
	if err != nil {
		return err
	}
	var old []string
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		var w waiting
		if err := json.Unmarshal(kept[name], &w); err != nil {
			return fmt.Errorf("stored order: %w", err)
		}
		if name <= orderState(device, done) || clock.Now().After(w.Deliver) {
			old = append(old, name)
			continue
		}
		if err := s.Publisher.Publish(ctx, record.Topic(device, record.ChannelOrder), w.Sealed); err != nil {
			return err
		}
	}
	if len(old) == 0 {
		return nil
	}
	return s.Store.Update(ctx, func(tx store.Tx) error {
		var errs []error
		for _, name := range old {
			errs = append(errs, tx.DeleteState(name))
		}
		return errors.Join(errs...)
	})
}
