// Package obey takes what the hub signs for this device, policies and orders,
// and lets in only what is authentic, addressed to it and newer.
package obey

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/files"
	"sekimori/internal/record"
)

// Facts makes a fact durable.
type Facts interface {
	Write(ctx context.Context, kind record.Kind, body any, safety bool) error
}

// Doors judges an input and carries it out before Do returns; the error tells
// why an order was not obeyed.
type Doors interface {
	Do(ctx context.Context, in decide.Input) error
}

// Policies keeps the policy in force. It is stored as it was signed and checked
// again at each start, so that a file changed on a stolen board is worth nothing.
//
// Its methods may be called from any goroutine; Version never waits for the
// doors or the disk.
type Policies struct {
	path   string // of the policy
	mark   string // of the version whose activation was written down
	device record.DeviceID
	keys   func() []record.PublicKey
	facts  Facts
	doors  Doors

	version atomic.Uint64
	one     sync.Mutex // held by one activation
	told    uint64     // guarded by one; the version in the file mark
}

// stored is a policy as received.
type stored struct {
	Head   []byte   `json:"head"`
	Chunks [][]byte `json:"chunks"`
}

// NewPolicies keeps policies of device in dir, checked with the keys of the
// moment.
func NewPolicies(dir string, device record.DeviceID, keys func() []record.PublicKey, f Facts, d Doors) *Policies {
	return &Policies{
		path: filepath.Join(dir, "policy.json"), mark: filepath.Join(dir, "policy-told.json"),
		device: device, keys: keys, facts: f, doors: d,
	}
}

// Version is that of the policy in force, 0 for none.
func (p *Policies) Version() uint64 { return p.version.Load() }

// Resume puts the cached policy in force again. A cached policy that does not
// check is reported and set aside; the device then refuses entry until the hub
// sends one. The error is for the log: the doors are served in any case.
func (p *Policies) Resume(ctx context.Context, load func(*record.Policy)) error {
	p.one.Lock()
	defer p.one.Unlock()
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
		fact := p.facts.Write(ctx, record.KindPolicyRejected, record.Rejected{Code: record.CodeOf(err), Detail: "cached policy: " + err.Error()}, true)
		return errors.Join(fmt.Errorf("cached policy: %w", err), files.SetAside(p.path), fact)
	}
	if _, err := files.ReadJSON(p.mark, &p.told); err != nil {
		p.told = 0
	}
	p.version.Store(policy.Version)
	load(&policy)
	return p.tellLocked(ctx)
}

// Activate checks a policy, keeps it, puts it in force and writes the fact, in
// that order. A version that is not higher is refused [T-53]. Errors carry the
// code of what is wrong with the policy, or CodeStoreFailed; one without a code
// means that the policy is in force and the fact of it is not written yet.
func (p *Policies) Activate(ctx context.Context, head []byte, chunks [][]byte) error {
	policy, err := record.UnpackPolicy(p.keys(), p.device, head, chunks)
	if err != nil {
		return err
	}
	p.one.Lock()
	defer p.one.Unlock()
	if in := p.version.Load(); policy.Version < in {
		return record.Fail(record.CodePolicyOld, fmt.Errorf("policy %d came while %d is in force", policy.Version, in))
	} else if policy.Version == in {
		return p.tellLocked(ctx) // the hub sent again what is in force
	}
	if err := files.WriteJSON(p.path, stored{head, chunks}); err != nil {
		return record.Fail(record.CodeStoreFailed, fmt.Errorf("keep policy: %w", err))
	}
	if err := p.doors.Do(ctx, decide.PolicyIn{Policy: &policy}); err != nil {
		return fmt.Errorf("policy %d: %w", policy.Version, err)
	}
	p.version.Store(policy.Version)
	return p.tellLocked(ctx)
}

// tellLocked writes down the activation of the policy in force, unless that was
// done. The mark comes after the fact, so a crash between the two tells it twice
// and never not at all: the hub shows who has not yet heard of a revocation.
func (p *Policies) tellLocked(ctx context.Context) error {
	version := p.version.Load()
	if p.told == version {
		return nil
	}
	if err := p.facts.Write(ctx, record.KindPolicyActivated, record.PolicyActivated{Version: version, From: p.told}, true); err != nil {
		return err
	}
	p.told = version
	return files.WriteJSON(p.mark, version)
}
