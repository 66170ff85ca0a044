package pki_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/pki/pkitest"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// town is a hub with keys and memory, and counts how often the broker's lists
// would have been renewed.
type town struct {
	*pki.Members
	auth  *pki.Authority
	store *pkitest.Store

	mu      sync.Mutex
	changes int // guarded by mu
}

func newTown(tb testing.TB) *town {
	tb.Helper()
	t := &town{auth: mustOpen(tb, mustInit(tb, kanmori)), store: pkitest.NewStore()}
	t.Members = pki.NewMembers(t.auth, t.store, pkitest.Ledger{}, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.changes++
	})
	t.Resolve = func(p record.PersonID, _ time.Time) (ledger.Resolved, bool) {
		return ledger.Resolved{Person: p, Name: "山田 太郎"}, p == "P01"
	}
	return t
}

func (t *town) mustCode(tb testing.TB, device record.DeviceID, ttl time.Duration) record.EnrolCode {
	tb.Helper()
	text, err := t.NewCode(tb.Context(), device, ttl, "P01")
	if err != nil {
		tb.Fatal(err)
	}
	c, err := record.ParseEnrolCode(text)
	if err != nil {
		tb.Fatal(err)
	}
	if c.Root != record.HashRoot(t.auth.Root()) {
		tb.Fatal("the code pins another root")
	}
	return c
}

func newDeviceKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func csrOf(tb testing.TB, key crypto.Signer) []byte {
	tb.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		tb.Fatal(err)
	}
	return csr
}

func (t *town) mustEnrol(tb testing.TB, device record.DeviceID, key crypto.Signer) record.EnrolReply {
	tb.Helper()
	c := t.mustCode(tb, device, time.Hour)
	reply, err := t.Enrol(tb.Context(), record.EnrolRequest{Device: device, Secret: c.Secret[:], CSR: csrOf(tb, key)}, "10.0.0.9")
	if err != nil {
		tb.Fatal(err)
	}
	return reply
}

func mustLeaf(tb testing.TB, certPEM []byte) *x509.Certificate {
	tb.Helper()
	block, _ := pem.Decode(certPEM)
	if block == nil {
		tb.Fatalf("no PEM in %q", certPEM)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return leaf
}

// [001-4.3(3)] [002-23(3)ア] [T-26]: the certificate names the device by its code, for its
// own key, and for nothing but being a client.
func TestEnrolledDeviceIsNamedByItsCertificate(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"ed25519": newDeviceKey(t), "p256": mustP256(t)} {
		town := newTown(t)
		reply := town.mustEnrol(t, "DC-31", key)
		leaf := mustLeaf(t, reply.Certificate)
		if leaf.Subject.CommonName != "DC-31" || !slices.Equal(leaf.Subject.OrganizationalUnit, []string{"device"}) {
			t.Errorf("%s: subject %v", name, leaf.Subject)
		}
		if !leaf.NotBefore.Equal(time.Unix(0, 0)) {
			t.Errorf("%s: a board in 1970 would be refused: from %v", name, leaf.NotBefore)
		}
		if days := leaf.NotAfter.Sub(clock.Now()).Hours() / 24; days < 396 || days > 398 {
			t.Errorf("%s: good for %.0f days", name, days)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(town.auth.KeyList().CA)
		verify := func(use x509.ExtKeyUsage) error {
			_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: clock.Now(), KeyUsages: []x509.ExtKeyUsage{use}})
			return err
		}
		if err := verify(x509.ExtKeyUsageClientAuth); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if verify(x509.ExtKeyUsageServerAuth) == nil {
			t.Errorf("%s: a device could pose as the hub", name)
		}
		want, err := record.NewPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		town.checkMember(t, "DC-31", want, leaf.SerialNumber.Text(16), reply.CredentialKey)
	}
}

func mustP256(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (t *town) checkMember(tb testing.TB, device record.DeviceID, key record.PublicKey, serial string, credential []byte) {
	tb.Helper()
	state := t.mustState(tb, device)
	if state.Key.ID() != key.ID() || state.Serial != serial || state.Revoked {
		tb.Errorf("state %+v", state)
	}
	k, err := t.auth.CredentialKey(device, state.Credential)
	if err != nil || !bytes.Equal(k[:], credential) || len(credential) != 32 {
		tb.Errorf("credential key differs: %v", err)
	}
	if _, err := t.auth.CredentialKey("DC-99", state.Credential); err == nil {
		tb.Error("the credential key opens for another device")
	}
	rows := t.store.RowsOf(ledger.KindDeviceEnrolled)
	if len(rows) != 1 {
		tb.Fatalf("%d facts of enrolment", len(rows))
	}
	var body ledger.DeviceEnrolled
	if err := json.Unmarshal(rows[0].Body, &body); err != nil || body.Key.ID() != key.ID() || body.Serial != serial || body.Renewal {
		tb.Errorf("fact %+v %v", body, err)
	}
	if rows[0].Actor == nil || rows[0].Actor.Person != "P01" || rows[0].Actor.Name != "山田 太郎" || len(rows[0].Basis) == 0 {
		tb.Errorf("fact names actor %v and basis %v", rows[0].Actor, rows[0].Basis)
	}
	if t.changes != 1 {
		tb.Errorf("the broker was told %d times", t.changes)
	}
}

// TestCodeIsGoodOnceForOneDevice: also when ten boards race for it.
func TestCodeIsGoodOnceForOneDevice(t *testing.T) {
	town := newTown(t)
	code := town.mustCode(t, "DC-31", time.Hour)
	if _, err := town.Enrol(t.Context(), record.EnrolRequest{Device: "DC-21", Secret: code.Secret[:], CSR: csrOf(t, newDeviceKey(t))}, ""); record.CodeOf(err) != record.CodeEnrolCode {
		t.Errorf("for another device: %v", err)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 10)
	for range cap(errs) {
		req := record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: csrOf(t, newDeviceKey(t))}
		wg.Go(func() {
			_, err := town.Enrol(context.WithoutCancel(t.Context()), req, "")
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	good := 0
	for err := range errs {
		switch {
		case err == nil:
			good++
		case record.CodeOf(err) != record.CodeEnrolCode:
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("%d boards enrolled with one code", good)
	}
}

func TestExpiredCodeIsRefused(t *testing.T) {
	town := newTown(t)
	code := town.mustCode(t, "DC-31", 1) // 1 ns
	if _, err := town.Enrol(t.Context(), record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: csrOf(t, newDeviceKey(t))}, ""); record.CodeOf(err) != record.CodeEnrolCode {
		t.Error(err)
	}
}

// TestWrongTriesEndTheCode: each is a finding, and after the fifth the right
// secret is as wrong as any.
func TestWrongTriesEndTheCode(t *testing.T) {
	town := newTown(t)
	code := town.mustCode(t, "DC-31", time.Hour)
	wrong := record.EnrolRequest{Device: "DC-31", Secret: make([]byte, 10), CSR: csrOf(t, newDeviceKey(t))}
	for i := range 8 {
		if _, err := town.Enrol(t.Context(), wrong, "10.0.0.66"); record.CodeOf(err) != record.CodeEnrolCode {
			t.Errorf("try %d: %v", i, err)
		}
	}
	right := wrong
	right.Secret = code.Secret[:]
	if _, err := town.Enrol(t.Context(), right, ""); record.CodeOf(err) != record.CodeEnrolCode {
		t.Errorf("right after five wrong: %v", err)
	}
	rows := town.store.RowsOf(ledger.KindSecurityFinding)
	if len(rows) != 5 || !bytes.Contains(rows[4].Body, []byte("10.0.0.66")) {
		t.Errorf("%d findings", len(rows))
	}
}

func TestFourWrongTriesStillLeaveTheRightOne(t *testing.T) {
	town := newTown(t)
	code := town.mustCode(t, "DC-31", time.Hour)
	req := record.EnrolRequest{Device: "DC-31", Secret: make([]byte, 10), CSR: csrOf(t, newDeviceKey(t))}
	for range 4 {
		_, _ = town.Enrol(t.Context(), req, "")
	}
	req.Secret = code.Secret[:]
	if _, err := town.Enrol(t.Context(), req, ""); err != nil {
		t.Error(err)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	town := newTown(t)
	code := town.mustCode(t, "DC-31", time.Hour)
	good := csrOf(t, newDeviceKey(t))
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		req  record.EnrolRequest
		want record.Code
	}{
		"no CSR":         {record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:]}, record.CodeMalformed},
		"forged CSR":     {record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: forged}, record.CodeBadSignature},
		"P-384":          {record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: csrOf(t, p384)}, record.CodeMalformed},
		"room as a name": {record.EnrolRequest{Device: "サーバ室", Secret: code.Secret[:], CSR: good}, record.CodeMalformed},
		"short secret":   {record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:9], CSR: good}, record.CodeMalformed},
	} {
		if _, err := town.Enrol(t.Context(), c.req, ""); record.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := town.Enrol(t.Context(), record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: good}, ""); err != nil {
		t.Errorf("a malformed request spent the code: %v", err)
	}
}

func (t *town) renewal(tb testing.TB, device record.DeviceID, key, csrKey crypto.Signer, at time.Time) []byte {
	tb.Helper()
	s, err := record.NewSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	sealed, err := record.Seal(s, record.TypeEnrol, record.RenewRequest{Device: device, CSR: csrOf(tb, csrKey), At: at})
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

// [T-51]: the device key is enough, whatever became of the certificate, and the
// clock of a board may be far behind.
func TestRenewalByProofOfTheDeviceKey(t *testing.T) {
	town := newTown(t)
	key := newDeviceKey(t)
	first := town.mustEnrol(t, "DC-31", key)
	behind := clock.Now().AddDate(-2, 0, 0)
	reply, err := town.Renew(t.Context(), town.renewal(t, "DC-31", key, key, behind))
	if err != nil {
		t.Fatal(err)
	}
	old, leaf := mustLeaf(t, first.Certificate), mustLeaf(t, reply.Certificate)
	if leaf.SerialNumber.Cmp(old.SerialNumber) == 0 || leaf.Subject.CommonName != "DC-31" || len(reply.CredentialKey) != 0 {
		t.Errorf("renewed as %v", leaf.Subject)
	}
	if got := town.mustState(t, "DC-31"); got.Serial != leaf.SerialNumber.Text(16) {
		t.Errorf("state has serial %s", got.Serial)
	}
	if _, revoked, err := town.Access(t.Context()); err != nil || len(revoked) != 0 {
		t.Errorf("the old certificate must last until the new one has arrived: %v %v", revoked, err)
	}
	if rows := town.store.RowsOf(ledger.KindDeviceEnrolled); len(rows) != 2 || !bytes.Contains(rows[1].Body, []byte(`"renewal":true`)) {
		t.Errorf("%d facts", len(rows))
	}
}

func TestRenewalsThatAreRefused(t *testing.T) {
	town := newTown(t)
	key, other := newDeviceKey(t), newDeviceKey(t)
	town.mustEnrol(t, "DC-31", key)
	town.mustEnrol(t, "DC-21", other)
	now := clock.Now()
	used := town.renewal(t, "DC-31", key, key, now)
	if _, err := town.Renew(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sealed []byte
		want   record.Code
	}{
		"replayed":              {used, record.CodeReplayed},
		"older":                 {town.renewal(t, "DC-31", key, key, now.Add(-time.Second)), record.CodeReplayed},
		"future":                {town.renewal(t, "DC-31", key, key, now.Add(time.Hour)), record.CodeClockStep},
		"stranger's key":        {town.renewal(t, "DC-31", newDeviceKey(t), key, now.Add(time.Second)), record.CodeBadSignature},
		"another device's name": {town.renewal(t, "DC-31", other, other, now.Add(time.Second)), record.CodeWrongDevice},
		"a new key":             {town.renewal(t, "DC-31", key, newDeviceKey(t), now.Add(time.Second)), record.CodeMalformed},
		"rubbish":               {[]byte("{"), record.CodeMalformed},
	} {
		if _, err := town.Renew(t.Context(), c.sealed); record.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRevokedDeviceIsOut: of the allow list, by serial, and for renewal; what
// it recorded can still be verified by the key that stays.
func TestRevokedDeviceIsOut(t *testing.T) {
	town := newTown(t)
	key := newDeviceKey(t)
	leaf := mustLeaf(t, town.mustEnrol(t, "DC-31", key).Certificate)
	town.mustEnrol(t, "DC-21", newDeviceKey(t))
	if err := town.Revoke(t.Context(), "DC-31", "P01"); err != nil {
		t.Fatal(err)
	}
	allow, revoked, err := town.Access(t.Context())
	if err != nil || !slices.Equal(allow, []string{"DC-21"}) || !slices.Equal(revoked, []string{leaf.SerialNumber.Text(16)}) {
		t.Errorf("allow %v, revoked %v, %v", allow, revoked, err)
	}
	if _, err := town.Renew(t.Context(), town.renewal(t, "DC-31", key, key, clock.Now())); record.CodeOf(err) != record.CodeBadSignature {
		t.Errorf("renewed: %v", err)
	}
	if state := town.mustState(t, "DC-31"); !state.Revoked || len(state.Key.SPKI) == 0 {
		t.Errorf("state %+v", state)
	}
	if rows := town.store.RowsOf(ledger.KindDeviceRevoked); len(rows) != 1 || rows[0].Actor.Person != "P01" {
		t.Errorf("facts %v", rows)
	}
	if err := town.Revoke(t.Context(), "DC-77", "P01"); record.CodeOf(err) != record.CodeUnknownDevice {
		t.Errorf("unknown device: %v", err)
	}
}

// TestReplacedBoardDrivesTheOldOneOut: two boards of one name would be a clone.
func TestReplacedBoardDrivesTheOldOneOut(t *testing.T) {
	town := newTown(t)
	oldKey := newDeviceKey(t)
	first := town.mustEnrol(t, "DC-31", oldKey)
	second := town.mustEnrol(t, "DC-31", newDeviceKey(t))
	allow, revoked, err := town.Access(t.Context())
	if err != nil || !slices.Equal(allow, []string{"DC-31"}) || !slices.Equal(revoked, []string{mustLeaf(t, first.Certificate).SerialNumber.Text(16)}) {
		t.Errorf("allow %v, revoked %v, %v", allow, revoked, err)
	}
	if bytes.Equal(first.CredentialKey, second.CredentialKey) {
		t.Error("the new board has the old one's credential key")
	}
	if _, err := town.Renew(t.Context(), town.renewal(t, "DC-31", oldKey, oldKey, clock.Now())); err == nil {
		t.Error("the old board renewed")
	}
}

// [001-4.5(1)]: the store holds neither code nor credential key in clear.
func TestStoreHoldsNoSecret(t *testing.T) {
	town := newTown(t)
	waiting := town.mustCode(t, "DC-21", time.Hour)
	reply := town.mustEnrol(t, "DC-31", newDeviceKey(t))
	all := town.store.Everything()
	for name, secret := range map[string][]byte{"code": waiting.Secret[:], "credential key": reply.CredentialKey} {
		if bytes.Contains(all, secret) || bytes.Contains(all, []byte(hex.EncodeToString(secret))) {
			t.Errorf("the %s is in the store", name)
		}
	}
	if bytes.Contains(town.mustState(t, "DC-31").Credential, reply.CredentialKey) {
		t.Error("the credential key is not sealed")
	}
}

func TestFailedCommitEnrolsNobody(t *testing.T) {
	town := newTown(t)
	code := town.mustCode(t, "DC-31", time.Hour)
	req := record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: csrOf(t, newDeviceKey(t))}
	town.store.Fail = errors.New("disk full")
	if reply, err := town.Enrol(t.Context(), req, ""); err == nil || len(reply.Certificate) != 0 {
		t.Errorf("%v %v", reply, err)
	}
	town.store.Fail = nil
	if _, err := town.Enrol(t.Context(), req, ""); err != nil {
		t.Errorf("the code was spent by a commit that failed: %v", err)
	}
}
