package pki

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// renewOwn is how long before its end the hub replaces its own certificates
// [T-51].
const renewOwn = 90 * 24 * time.Hour

// Authority holds the hub's keys. It is safe for concurrent use.
type Authority struct {
	dir     string
	opts    Options
	root    record.PublicKey
	sealed  []byte // key list
	list    record.KeyList
	ca      *issuer
	caPEM   []byte
	signers map[record.KeyUse]*record.Signer
	logKey  note.Signer
	logPub  note.Verifier
	logText string // of logPub
	logSeed []byte // of logKey
	sealer  *Sealer

	mu  sync.Mutex
	own map[string]tls.Certificate // guarded by mu; serverName and linkName
}

// Open reads the keys in dir. It is ErrExposed where others may read them, and
// fails where key list, keys and CA do not belong together.
func Open(dir string) (*Authority, error) {
	found, err := SelfCheck(dir)
	if err != nil {
		return nil, fmt.Errorf("hub keys: %w", err)
	}
	for _, f := range found {
		if f.Code == "key-exposed" || f.Code == "folder-exposed" {
			return nil, fmt.Errorf("hub keys: %s: %w: %s", f.File, ErrExposed, f.EN)
		}
	}
	a := &Authority{dir: dir, signers: map[record.KeyUse]*record.Signer{}, own: map[string]tls.Certificate{}}
	for _, load := range []func() error{a.loadInfo, a.loadSigners, a.loadLog, a.loadCA, a.loadList, a.loadOwn} {
		if err := load(); err != nil {
			return nil, fmt.Errorf("hub keys in %s: %w", dir, err)
		}
	}
	if _, err := a.RenewOwn(clock.Now()); err != nil {
		return nil, fmt.Errorf("hub keys in %s: %w", dir, err)
	}
	return a, nil
}

func (a *Authority) path(name string) string { return filepath.Join(a.dir, filepath.FromSlash(name)) }

func (a *Authority) loadInfo() error {
	info, err := os.ReadFile(a.path(infoFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(info, &a.opts); err != nil {
		return fmt.Errorf("%s: %w", infoFile, err)
	}
	return a.opts.check()
}

func (a *Authority) loadSigners() error {
	for use, file := range map[record.KeyUse]string{record.UsePolicy: policyFile, record.UseOrder: orderFile, record.UseReceipt: receiptFile} {
		b, err := os.ReadFile(a.path(file))
		if err != nil {
			return err
		}
		key, err := parseKey(b)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if a.signers[use], err = record.NewSigner(key); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func (a *Authority) loadLog() error {
	secret, err := os.ReadFile(a.path(logFile))
	if err != nil {
		return err
	}
	if a.logKey, err = note.NewSigner(strings.TrimSpace(string(secret))); err != nil {
		return fmt.Errorf("%s: %w", logFile, err)
	}
	if a.logSeed, err = seedOf(strings.TrimSpace(string(secret))); err != nil {
		return fmt.Errorf("%s: %w", logFile, err)
	}
	public, err := os.ReadFile(a.path(logPubFile))
	if err != nil {
		return err
	}
	a.logText = strings.TrimSpace(string(public))
	if a.logPub, err = note.NewVerifier(a.logText); err != nil {
		return fmt.Errorf("%s: %w", logPubFile, err)
	}
	text, err := os.ReadFile(a.path(sealFile))
	if err != nil {
		return err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s is damaged", sealFile)
	}
	a.sealer, err = NewSealer(key)
	return err
}

// seedOf takes the Ed25519 seed from a note signer key,
// "PRIVATE+KEY+<name>+<hash>+<base64 of algorithm byte and seed>".
func seedOf(skey string) ([]byte, error) {
	parts := strings.SplitN(skey, "+", 5) // '+' is also a base64 digit
	b, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(b) != 1+ed25519.SeedSize {
		return nil, errors.New("not a note signer key")
	}
	return b[1:], nil
}

func (a *Authority) loadCA() error {
	key, err := os.ReadFile(a.path(caKeyFile))
	if err != nil {
		return err
	}
	if a.caPEM, err = os.ReadFile(a.path(caCertFile)); err != nil {
		return err
	}
	a.ca = &issuer{}
	if a.ca.key, err = parseKey(key); err != nil {
		return fmt.Errorf("%s: %w", caKeyFile, err)
	}
	if a.ca.cert, err = parseCert(a.caPEM); err != nil {
		return fmt.Errorf("%s: %w", caCertFile, err)
	}
	return nil
}

// loadList checks that what the root signed is what this folder holds: a hub
// that signs with other keys would be obeyed by nobody.
func (a *Authority) loadList() error {
	b, err := os.ReadFile(a.path(rootPubFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &a.root); err != nil {
		return fmt.Errorf("%s: %w", rootPubFile, err)
	}
	if a.sealed, err = os.ReadFile(a.path(keyListFile)); err != nil {
		return err
	}
	if a.list, err = record.OpenKeyList(a.root, a.sealed); err != nil {
		return fmt.Errorf("%s: %w", keyListFile, err)
	}
	for use, signer := range a.signers {
		known := false
		for _, k := range a.list.For(use) {
			known = known || k.ID() == signer.Public().ID()
		}
		if !known {
			return fmt.Errorf("%s: the root did not sign this hub's %s key", keyListFile, use)
		}
	}
	if string(a.list.CA) != string(a.caPEM) || a.list.LogKey != a.logText {
		return fmt.Errorf("%s: the root signed another CA or log key", keyListFile)
	}
	return nil
}

func (a *Authority) loadOwn() error {
	for _, name := range []string{serverName, linkName} {
		cert, err := tls.LoadX509KeyPair(a.path(name+".crt"), a.path(name+".key"))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		a.own[name] = cert
	}
	return nil
}

// RenewOwn replaces the hub's own certificates when they are close to their
// end; call it daily. changed tells that the broker needs the new one.
func (a *Authority) RenewOwn(now time.Time) (changed bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, template := range map[string]*x509.Certificate{serverName: serverTemplate(a.opts), linkName: clientTemplate("hub", "hub")} {
		if a.own[name].Leaf.NotAfter.Sub(now) > renewOwn {
			continue
		}
		if err := a.renewLocked(name, template, now); err != nil {
			return changed, fmt.Errorf("renew the %s certificate: %w", name, err)
		}
		changed = true
	}
	return changed, nil
}

// renewLocked keeps the key, so that key and certificate on disk fit together
// at every moment.
func (a *Authority) renewLocked(name string, template *x509.Certificate, now time.Time) error {
	old := a.own[name]
	der, _, err := a.ca.issue(template, old.Leaf.PublicKey, now.Add(defaultLife))
	if err != nil {
		return err
	}
	if err := replace(a.path(name+".crt"), certPEM(der)); err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	a.own[name] = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: old.PrivateKey, Leaf: leaf}
	return nil
}

// Info is what the hub was initialised with.
func (a *Authority) Info() Options { return a.opts }

// Root is what agents pin.
func (a *Authority) Root() record.PublicKey { return a.root }

// SealedKeyList is the key list as the root signed it; KeyList is its content.
func (a *Authority) SealedKeyList() []byte   { return append([]byte(nil), a.sealed...) }
func (a *Authority) KeyList() record.KeyList { return a.list }

// Signer signs for one use and no other.
func (a *Authority) Signer(use record.KeyUse) *record.Signer { return a.signers[use] }

// LogKey is the origin and Ed25519 seed of the ledger's checkpoints, as
// ledger.New takes them. LogSigner and LogVerifier are the same key.
func (a *Authority) LogKey() (origin string, seed []byte) { return a.logKey.Name(), a.logSeed }
func (a *Authority) LogSigner() note.Signer               { return a.logKey }
func (a *Authority) LogVerifier() note.Verifier           { return a.logPub }

// Sealer hides small secrets in the store.
func (a *Authority) Sealer() *Sealer { return a.sealer }

// CredentialKey opens what enrolment sealed into store.DeviceState.Credential.
func (a *Authority) CredentialKey(device record.DeviceID, sealed []byte) (record.CredentialKey, error) {
	var k record.CredentialKey
	b, err := a.sealer.Open(credentialName(device), sealed)
	if err != nil {
		return k, err
	}
	if len(b) != len(k) {
		return k, errors.New("credential key of the wrong length")
	}
	copy(k[:], b)
	return k, nil
}

func credentialName(device record.DeviceID) string { return "credential/" + string(device) }
