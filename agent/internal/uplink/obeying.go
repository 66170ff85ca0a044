package uplink

import (
	"context"
	"encoding/json"
	"fmt"

	"sekimori/internal/record"
)

// order hands an order on. One that comes before the hub has answered waits at
// the hub: its delivery limit means nothing to a clock that is not set yet.
func (s *session) order(ctx context.Context, sealed []byte) error {
	if !s.sender.open() {
		return nil
	}
	return s.reject(ctx, record.KindOrderRejected, s.Orders.Execute(ctx, sealed))
}

// reject writes down why something signed, or said to be signed, was not obeyed.
// An error without a code is something else, and is for the log.
func (s *session) reject(ctx context.Context, kind record.Kind, cause error) error {
	if cause == nil || ctx.Err() != nil {
		return nil
	}
	code := record.CodeOf(cause)
	if !s.reports.due(string(kind) + string(code)) {
		return nil
	}
	s.Log.Error("not obeyed", "what", kind, "err", cause)
	if code != "" {
		s.write(ctx, kind, record.Rejected{Code: code, Detail: cause.Error()}, false)
	}
	return nil
}

// assembly is a policy that is coming in pieces.
type assembly struct {
	version uint64
	head    []byte
	want    int
	chunks  [][]byte
}

// maxChunks bounds what an unverified sender can make this device hold.
const maxChunks = record.MaxPolicy / record.PolicyChunkSize

// policy collects a head and its chunks in order and activates the whole. A
// piece that is missing or too large ends the collecting; the hub sends again.
func (s *session) policy(ctx context.Context, payload []byte) error {
	if !s.sender.open() {
		return nil
	}
	var m record.PolicyMessage
	if err := json.Unmarshal(payload, &m); err != nil {
		return record.Fail(record.CodeMalformed, fmt.Errorf("policy message: %w", err))
	}
	if m.Head != nil {
		a, err := newAssembly(m)
		if err != nil {
			return s.reject(ctx, record.KindPolicyRejected, err)
		}
		s.assembly = a
	}
	if a := s.assembly; a != nil && a.version == m.Version && m.Chunk != nil && !a.add(m) {
		s.assembly = nil
	}
	a := s.assembly
	if a == nil || len(a.chunks) < a.want {
		return nil
	}
	s.assembly = nil
	return s.reject(ctx, record.KindPolicyRejected, s.Policies.Activate(ctx, a.head, a.chunks))
}

// newAssembly peeks at the unverified head for the number of chunks only.
func newAssembly(m record.PolicyMessage) (*assembly, error) {
	n, err := record.PeekChunks(m.Head)
	if err == nil && n > maxChunks {
		err = record.Fail(record.CodeMalformed, fmt.Errorf("a policy of %d chunks", n))
	}
	return &assembly{version: m.Version, head: m.Head, want: n}, err
}

// add takes the next chunk. One that was here already is passed over.
func (a *assembly) add(m record.PolicyMessage) (ok bool) {
	if m.Index >= 0 && m.Index < len(a.chunks) {
		return true
	}
	if m.Index != len(a.chunks) || len(a.chunks) >= a.want || len(m.Chunk) > record.PolicyChunkSize {
		return false
	}
	a.chunks = append(a.chunks, m.Chunk)
	return true
}
