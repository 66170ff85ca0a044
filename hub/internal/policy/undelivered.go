package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Undelivered is a device that has not confirmed its newest policy. While
// Revokes is not empty it is 失効未達: these cards may still open there [T-21].
type Undelivered struct {
	Device  record.DeviceID
	Doors   []record.DoorCode
	Version uint64    // newest signed
	Ack     uint64    // newest confirmed
	Signed  time.Time // when Version was signed
	SeenAt  time.Time // when the device was last heard
	Revokes []record.CredentialID
}

// revoked is a card that a version shut out.
type revoked struct {
	Version    uint64              `json:"version"`
	Credential record.CredentialID `json:"credential"`
}

// revokes lists the cards that policy shuts out and its device may still let
// in: what changes now, and what no confirmation has come for yet.
func (s *Service) revokes(d store.DeviceState, old compiled, policy record.Policy) ([]revoked, error) {
	good := map[record.CredentialID]bool{}
	for _, c := range policy.Credentials {
		good[c.ID] = c.State == record.CredentialActive
	}
	var out []revoked
	listed := map[record.CredentialID]bool{}
	for _, r := range old.Revokes {
		if r.Version > d.PolicyAck && !good[r.Credential] {
			out = append(out, r)
			listed[r.Credential] = true
		}
	}
	if old.Version == 0 {
		return out, nil
	}
	before, err := record.UnpackPolicy([]record.PublicKey{s.Policies.Public()}, d.Device, old.Head, old.Chunks)
	if record.CodeOf(err) == record.CodeBadSignature {
		return out, nil // signed with a key that was replaced since
	}
	if err != nil {
		return nil, fmt.Errorf("the policy before: %w", err)
	}
	for _, c := range before.Credentials {
		if c.State == record.CredentialActive && !good[c.ID] && !listed[c.ID] {
			out = append(out, revoked{policy.Version, c.ID})
		}
	}
	return out, nil
}

// Undelivered lists devices in service that have not confirmed their newest
// policy, by device. A confirmation ends it without anybody's doing.
func (s *Service) Undelivered(ctx context.Context) ([]Undelivered, error) {
	var out []Undelivered
	err := s.Store.View(ctx, func(tx store.ReadTx) error {
		devices, err := tx.Devices()
		if err != nil {
			return err
		}
		for _, d := range devices {
			c, err := readCompiled(tx, d.Device)
			if err != nil {
				return err
			}
			if d.Revoked || c.Version == 0 || d.PolicyAck >= c.Version {
				continue
			}
			u, err := s.undelivered(d, c)
			if err != nil {
				return err
			}
			out = append(out, u)
		}
		return nil
	})
	return out, err
}

func (s *Service) undelivered(d store.DeviceState, c compiled) (Undelivered, error) {
	u := Undelivered{Device: d.Device, Version: c.Version, Ack: d.PolicyAck, Signed: c.Signed, SeenAt: d.SeenAt}
	for _, r := range c.Revokes {
		if r.Version > d.PolicyAck {
			u.Revokes = append(u.Revokes, r.Credential)
		}
	}
	p, err := record.UnpackPolicy([]record.PublicKey{s.Policies.Public()}, d.Device, c.Head, c.Chunks)
	if err != nil && record.CodeOf(err) != record.CodeBadSignature {
		return u, errors.Join(fmt.Errorf("stored policy of %s", d.Device), err)
	}
	for _, door := range p.Doors {
		u.Doors = append(u.Doors, door.Door)
	}
	return u, nil
}
