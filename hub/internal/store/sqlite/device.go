package sqlite

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Device reads one device's state.
func (t *tx) Device(id record.DeviceID) (store.DeviceState, error) {
	var b []byte
	if err := t.row("SELECT state FROM devices WHERE device = ?", []any{string(id)}, &b); err != nil {
		return store.DeviceState{}, err
	}
	return decodeDevice(b)
}

// Devices lists all by ID.
func (t *tx) Devices() ([]store.DeviceState, error) {
	var out []store.DeviceState
	err := t.each("SELECT state FROM devices ORDER BY device", nil, func(r *sql.Rows) error {
		var b []byte
		if err := r.Scan(&b); err != nil {
			return err
		}
		d, err := decodeDevice(b)
		out = append(out, d)
		return err
	})
	return out, err
}

func decodeDevice(b []byte) (store.DeviceState, error) {
	var d store.DeviceState
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("device state: %w", err)
	}
	if bytes.Equal(d.Status, []byte("null")) {
		d.Status = nil // how an absent one is written
	}
	d.CertUntil, d.Enrolled = d.CertUntil.UTC(), d.Enrolled.UTC()
	d.PolicyAckAt, d.SeenAt = d.PolicyAckAt.UTC(), d.SeenAt.UTC()
	return d, nil
}

// PutDevice replaces one state.
func (t *tx) PutDevice(d store.DeviceState) error {
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("device state of %s: %w", d.Device, err)
	}
	_, err = t.c.run("INSERT INTO devices (device, state) VALUES (?, ?) ON CONFLICT (device) DO UPDATE SET state = excluded.state", string(d.Device), b)
	return err
}
