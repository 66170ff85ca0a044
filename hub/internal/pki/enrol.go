package pki

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// maxTries is how many wrong secrets end a code. The code has 80 random bits;
// the limit is there to make guessing a finding, not to make it hard.
const maxTries = 5

// ahead is how far a device's clock may be before the hub's in a renewal. There
// is no limit behind: a board without a clock that was off for a year must still
// come back, and the rising At alone makes a request good for one use.
const ahead = 10 * time.Minute

// Appender writes facts to the ledger within a transaction, and signs it.
type Appender interface {
	Append(tx store.Tx, facts []ledger.Fact) (first int64, err error)
	Seal(tx store.Tx) (note []byte, cp record.Checkpoint, err error)
}

// Members makes devices members, and ends their membership. Every change is a
// fact of the ledger, in the transaction that makes it.
type Members struct {
	// Resolve names who acted as they were at that time [T-30]. Set it before
	// use; without it a fact holds the person's ID alone.
	Resolve func(person record.PersonID, at time.Time) (ledger.Resolved, bool)

	auth    *Authority
	store   store.Store
	ledger  Appender
	changed func()
}

// NewMembers joins keys, memory and ledger. changed is called after each change
// of Access, so that the broker's live lists follow.
func NewMembers(a *Authority, s store.Store, l Appender, changed func()) *Members {
	return &Members{auth: a, store: s, ledger: l, changed: changed}
}

// code is a waiting enrolment code. The secret itself is not kept.
type code struct {
	Hash    record.Hash     `json:"hash"`
	Expires time.Time       `json:"expires"`
	Tries   int             `json:"tries"`
	Issuer  record.PersonID `json:"issuer"`
}

// issued is what the hub remembers of a device's certificates.
type issued struct {
	Certs   []cert    `json:"certs"`
	Renewed time.Time `json:"renewed"` // RenewRequest.At of the newest renewal
}

type cert struct {
	Serial  string    `json:"serial"`
	Until   time.Time `json:"until"`
	Revoked bool      `json:"revoked,omitempty"`
}

const (
	codePrefix   = "enrol/code/"
	issuedPrefix = "enrol/certs/"
)

// NewCode makes a single-use code for one device, and replaces an earlier one.
// The text is shown once: the hub keeps its hash.
func (m *Members) NewCode(ctx context.Context, device record.DeviceID, ttl time.Duration, issuer record.PersonID) (string, error) {
	if _, err := record.ParseDeviceID(string(device)); err != nil {
		return "", fmt.Errorf("enrolment code: %w", err)
	}
	if ttl <= 0 {
		return "", errors.New("enrolment code: it must be good for some time")
	}
	c := record.NewEnrolCode(m.auth.Root())
	value := code{Hash: c.SecretHash(), Expires: clock.Now().Add(ttl), Issuer: issuer}
	err := m.store.Update(ctx, func(tx store.Tx) error { return putJSON(tx, codePrefix+string(device), value) })
	if err != nil {
		return "", fmt.Errorf("enrolment code: %w", err)
	}
	return c.Text(), nil
}

// Enrol makes the sender of a right code a member. A device that enrols again
// is a board that was replaced: its former certificates are revoked.
//
// Errors carry record.CodeEnrolCode for every fault of the code, so that a
// stranger learns nothing from them, or record.CodeMalformed.
func (m *Members) Enrol(ctx context.Context, req record.EnrolRequest, remote string) (record.EnrolReply, error) {
	var reply record.EnrolReply
	if _, err := record.ParseDeviceID(string(req.Device)); err != nil {
		return reply, record.Fail(record.CodeMalformed, err)
	}
	key, err := requestKey(req.CSR)
	if err != nil {
		return reply, err
	}
	var secret record.EnrolCode
	if len(req.Secret) != len(secret.Secret) {
		return reply, record.Fail(record.CodeMalformed, errors.New("secret of the wrong length"))
	}
	copy(secret.Secret[:], req.Secret)
	var refused error // outlives the transaction that counts the try
	err = m.store.Update(ctx, func(tx store.Tx) error {
		var issuer record.PersonID
		if issuer, refused = m.useCode(tx, req.Device, secret.SecretHash(), remote); refused != nil {
			return notTransient(refused)
		}
		reply, err = m.admit(tx, req.Device, key, issuer)
		return err
	})
	if err = errors.Join(refused, err); err != nil {
		return record.EnrolReply{}, fmt.Errorf("enrol %s: %w", req.Device, err)
	}
	m.changed()
	return reply, nil
}

// notTransient commits the count of a wrong try, and rolls back everything else.
func notTransient(err error) error {
	if record.CodeOf(err) == record.CodeEnrolCode {
		return nil
	}
	return err
}

// useCode spends the device's code, or counts a wrong try and ends the code at
// the limit.
func (m *Members) useCode(tx store.Tx, device record.DeviceID, hash record.Hash, remote string) (record.PersonID, error) {
	var c code
	name := codePrefix + string(device)
	if found, err := getJSON(tx, name, &c); err != nil || !found {
		return "", errors.Join(err, record.Fail(record.CodeEnrolCode, errors.New("no code waits for this device")))
	}
	if !clock.Now().Before(c.Expires) {
		return "", errors.Join(tx.DeleteState(name), record.Fail(record.CodeEnrolCode, errors.New("the code has expired")))
	}
	if subtle.ConstantTimeCompare(c.Hash[:], hash[:]) == 1 {
		return c.Issuer, tx.DeleteState(name)
	}
	c.Tries++
	write := func() error { return putJSON(tx, name, c) }
	if c.Tries >= maxTries {
		write = func() error { return tx.DeleteState(name) }
	}
	finding, err := findingFact(device, c.Tries, remote)
	if err != nil {
		return "", err
	}
	if err := errors.Join(write(), m.append(tx, finding)); err != nil {
		return "", err
	}
	return "", record.Fail(record.CodeEnrolCode, fmt.Errorf("wrong secret, try %d of %d", c.Tries, maxTries))
}

// admit writes a new member down and makes the reply.
func (m *Members) admit(tx store.Tx, device record.DeviceID, key record.PublicKey, issuer record.PersonID) (record.EnrolReply, error) {
	now := clock.Now().UTC()
	state, err := tx.Device(device)
	if errors.Is(err, store.ErrNotFound) {
		state, err = store.DeviceState{Device: device}, nil
	}
	if err != nil {
		return record.EnrolReply{}, err
	}
	past, err := m.issuedTo(tx, device)
	if err != nil {
		return record.EnrolReply{}, err
	}
	for i := range past.Certs {
		past.Certs[i].Revoked = true
	}
	credential := make([]byte, len(record.CredentialKey{}))
	rand.Read(credential)
	state.Key, state.Enrolled, state.Revoked = key, now, false
	state.Credential = m.auth.sealer.Seal(credentialName(device), credential)
	state.PolicyAck, state.PolicyAckAt = 0, time.Time{} // a new board holds none
	past.Renewed = time.Time{}
	reply, err := m.certify(tx, &state, past, issuer, false)
	reply.CredentialKey = credential
	return reply, err
}

// certify issues a certificate for state.Key and writes everything about it.
func (m *Members) certify(tx store.Tx, state *store.DeviceState, past issued, by record.PersonID, renewal bool) (record.EnrolReply, error) {
	now := clock.Now().UTC()
	life := m.auth.opts.DeviceLife
	if life == 0 {
		life = defaultLife
	}
	certificate, serial, until, err := m.auth.ca.device(state.Device, state.Key, now.Add(life))
	if err != nil {
		return record.EnrolReply{}, err
	}
	state.Serial, state.CertUntil = serial, until
	past.Certs = slices.DeleteFunc(past.Certs, func(c cert) bool { return c.Until.Before(now) })
	past.Certs = append(past.Certs, cert{Serial: serial, Until: until})
	fact, err := memberFact(ledger.KindDeviceEnrolled, *state, by, renewal)
	if err != nil {
		return record.EnrolReply{}, err
	}
	err = errors.Join(tx.PutDevice(*state), putJSON(tx, issuedPrefix+string(state.Device), past), m.append(tx, fact))
	return record.EnrolReply{Certificate: certificate, KeyList: m.auth.SealedKeyList(), HubTime: now}, err
}

// Renew gives a member a new certificate for its old key. The proof is the
// request's signature by that key, so a certificate that has expired does not
// matter [T-51]; a device whose membership was ended is unknown.
func (m *Members) Renew(ctx context.Context, sealed []byte) (record.EnrolReply, error) {
	var reply record.EnrolReply
	err := m.store.Update(ctx, func(tx store.Tx) error {
		state, req, err := m.proven(tx, sealed)
		if err != nil {
			return err
		}
		past, err := m.issuedTo(tx, state.Device)
		if err != nil {
			return err
		}
		switch {
		case !req.At.After(past.Renewed):
			return record.Fail(record.CodeReplayed, fmt.Errorf("renewal of %s is not newer than the last one", req.At.UTC().Format(time.RFC3339)))
		case req.At.After(clock.Now().Add(ahead)):
			return record.Fail(record.CodeClockStep, fmt.Errorf("renewal of %s is in the future", req.At.UTC().Format(time.RFC3339)))
		}
		past.Renewed = req.At
		reply, err = m.certify(tx, &state, past, "", true)
		return err
	})
	if err != nil {
		return record.EnrolReply{}, fmt.Errorf("renew: %w", err)
	}
	m.changed()
	return reply, nil
}

// proven finds the member whose key signed the request, for that same key.
func (m *Members) proven(tx store.Tx, sealed []byte) (store.DeviceState, record.RenewRequest, error) {
	var req record.RenewRequest
	states, err := tx.Devices()
	if err != nil {
		return store.DeviceState{}, req, err
	}
	var keys []record.PublicKey
	for _, s := range states {
		if !s.Revoked && len(s.Key.SPKI) > 0 {
			keys = append(keys, s.Key)
		}
	}
	if len(keys) == 0 {
		return store.DeviceState{}, req, record.Fail(record.CodeUnknownDevice, errors.New("there are no members"))
	}
	by, err := record.Unseal(keys, record.TypeEnrol, sealed, &req)
	if err != nil {
		return store.DeviceState{}, req, err
	}
	at := slices.IndexFunc(states, func(s store.DeviceState) bool { return !s.Revoked && s.Device == req.Device })
	if at < 0 || states[at].Key.ID() != by {
		return store.DeviceState{}, req, record.Fail(record.CodeWrongDevice, fmt.Errorf("%s asked with the key of another", req.Device))
	}
	key, err := requestKey(req.CSR)
	if err != nil {
		return store.DeviceState{}, req, err
	}
	if key.ID() != by {
		return store.DeviceState{}, req, record.Fail(record.CodeMalformed, errors.New("a renewal keeps the device key; a new key needs a new code"))
	}
	return states[at], req, nil
}

// Revoke ends a membership and every certificate of it. What the device
// recorded stays, and can still be verified by its key.
func (m *Members) Revoke(ctx context.Context, device record.DeviceID, by record.PersonID) error {
	err := m.store.Update(ctx, func(tx store.Tx) error {
		state, err := tx.Device(device)
		if errors.Is(err, store.ErrNotFound) {
			return record.Fail(record.CodeUnknownDevice, err)
		}
		if err != nil {
			return err
		}
		past, err := m.issuedTo(tx, device)
		if err != nil {
			return err
		}
		for i := range past.Certs {
			past.Certs[i].Revoked = true
		}
		state.Revoked = true
		fact, err := memberFact(ledger.KindDeviceRevoked, state, by, false)
		if err != nil {
			return err
		}
		return errors.Join(tx.PutDevice(state), putJSON(tx, issuedPrefix+string(device), past), m.append(tx, fact))
	})
	if err != nil {
		return fmt.Errorf("revoke %s: %w", device, err)
	}
	m.changed()
	return nil
}

// Access is the broker's live lists: devices in service, and serial numbers
// (hexadecimal) that are refused although they have not ended yet [002-23(3)ア].
func (m *Members) Access(ctx context.Context) (allow, revoked []string, err error) {
	allow, revoked = []string{}, []string{} // nil would mean "as before" to the broker
	err = m.store.View(ctx, func(tx store.ReadTx) error {
		states, err := tx.Devices()
		if err != nil {
			return err
		}
		for _, s := range states {
			if !s.Revoked {
				allow = append(allow, string(s.Device))
			}
		}
		all, err := tx.States(issuedPrefix)
		if err != nil {
			return err
		}
		for name, b := range all {
			var i issued
			if err := json.Unmarshal(b, &i); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			for _, c := range i.Certs {
				if c.Revoked && c.Until.After(clock.Now()) {
					revoked = append(revoked, c.Serial)
				}
			}
		}
		return nil
	})
	slices.Sort(allow)
	slices.Sort(revoked)
	return allow, revoked, err
}

func (m *Members) append(tx store.Tx, f ledger.Fact) error {
	if f.Row.Actor != nil && m.Resolve != nil {
		if who, ok := m.Resolve(f.Row.Actor.Person, f.Row.At); ok {
			f.Row.Actor = &who
		}
	}
	if _, err := m.ledger.Append(tx, []ledger.Fact{f}); err != nil {
		return err
	}
	_, _, err := m.ledger.Seal(tx)
	return err
}

func (m *Members) issuedTo(tx store.ReadTx, device record.DeviceID) (issued, error) {
	var i issued
	_, err := getJSON(tx, issuedPrefix+string(device), &i)
	return i, err
}
