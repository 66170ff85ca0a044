// Package obey takes what the hub signs for this device, policies and orders,
// and lets in only what is authentic, addressed to it and newer.
package obey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/files"
	"sekimori/internal/record"
)

// Facts makes a fact durable.
type Facts interface {
	Write(ctx context.Context, kind record.Kind, body any, safety bool) error
	UnderPolicy(version uint64, pack string)
}

// Doors takes inputs.
type Doors interface {
	Send(ctx context.Context, in decide.Input) error
}

// Policies keeps the policy in force. It is stored as it was signed and checked
// again at each start, so that a file changed on a stolen board is worth nothing.
type Policies struct {
	path   string
	device record.DeviceID
	keys   func() []record.PublicKey
	facts  Facts
	doors  Doors

	mu      sync.Mutex
	version uint64 // guarded by mu
}

// stored is a policy as received.
type stored struct {
	Head   []byte   `json:"head"`
	Chunks [][]byte `json:"chunks"`
}

// NewPolicies keeps policies of device in dir, checked with the keys of the
// moment.
func NewPolicies(dir string, device record.DeviceID, keys func() []record.PublicKey, f Facts, d Doors) *Policies {
	return &Policies{path: filepath.Join(dir, "policy.json"), device: device, keys: keys, facts: f, doors: d}
}

// Version is that of the policy in force, 0 for none.
func (p *Policies) Version() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version
}

// Resume puts the cached policy in force again. A cached policy that does not
// check is reported and set aside; the device then refuses entry until the hub
// sends one.
func (p *Policies) Resume(ctx context.Context, load func(*record.Policy)) error {
	var s stored
	found, err := files.ReadJSON(p.path, &s)
	if err == nil && !found {
		return nil
	}
	var policy record.Policy
	if err == nil {
		policy, err = record.UnpackPolicy(p.keys(), p.device, s.Head, s.Chunks)
	}
	if err != nil {
		setAside := os.Rename(p.path, p.path+".bad")
		fact := p.facts.Write(ctx, record.KindPolicyRejected, record.Rejected{Code: record.CodeOf(err), Detail: "cached policy: " + err.Error()}, true)
		return errors.Join(setAside, fact)
	}
	p.mu.Lock()
	p.version = policy.Version
	p.mu.Unlock()
	p.facts.UnderPolicy(policy.Version, policy.Pack)
	load(&policy)
	return nil
}

// Activate checks a policy, keeps it, writes the fact and puts it in force, in
// that order. A version that is not higher is refused [T-53].
func (p *Policies) Activate(ctx context.Context, head []byte, chunks [][]byte) error {
	policy, err := record.UnpackPolicy(p.keys(), p.device, head, chunks)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if policy.Version == p.version {
		return nil // the hub sent again what is in force
	}
	if policy.Version < p.version {
		return record.Fail(record.CodePolicyOld, fmt.Errorf("policy %d came while %d is in force", policy.Version, p.version))
	}
	b, err := json.Marshal(stored{head, chunks})
	if err != nil {
		return fmt.Errorf("keep policy: %w", err)
	}
	if err := files.Write(p.path, b); err != nil {
		return fmt.Errorf("keep policy: %w", err)
	}
	from := p.version
	p.version = policy.Version
	p.facts.UnderPolicy(policy.Version, policy.Pack)
	if err := p.doors.Send(ctx, decide.PolicyIn{Policy: &policy}); err != nil {
		return err
	}
	return p.facts.Write(ctx, record.KindPolicyActivated, record.PolicyActivated{Version: policy.Version, From: from}, true)
}
