// Package identity is who this device is and whom it believes: its key, its
// certificate, the municipality's root, and the newest list of hub keys.
//
//	code typed once ──▶ root pinned ──▶ key list checked ──▶ TLS to the CA in it
//	                                            secret sent only now ──▶ certificate
//
// Everything is in one folder of files that only the service's user may read
// [001-4.5(1)].
package identity

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sekimori/agent/internal/files"
	"sekimori/internal/record"
)

// ErrNotEnrolled means that the folder holds no identity yet.
var ErrNotEnrolled error = notEnrolled{}

type notEnrolled struct{}

func (notEnrolled) Error() string { return "this device is not enrolled" }

// Sentence is for the person at the terminal.
func (notEnrolled) Sentence() string {
	return "この機器はまだ登録されていません。中央管理装置で登録コードを発行し(sekimori-hub enrol-code)、この機器で sekimori-agent enrol を実行してください。"
}

const (
	keyFile     = "device.key"
	certFile    = "device.crt"
	rootFile    = "root.json"
	listFile    = "keylist.dsse"
	secretsFile = "credential.key"
)

// Identity is safe for concurrent use.
type Identity struct {
	dir    string
	device record.DeviceID
	key    crypto.Signer
	signer *record.Signer
	root   record.PublicKey
	cred   record.CredentialKey

	mu   sync.Mutex
	cert tls.Certificate // guarded by mu
	list record.KeyList  // guarded by mu
}

// Open reads the identity in dir. It is ErrNotEnrolled where there is none.
func Open(dir string, device record.DeviceID) (*Identity, error) {
	id := &Identity{dir: dir, device: device}
	certPEM, err := os.ReadFile(id.path(certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if err := id.load(certPEM); err != nil {
		return nil, fmt.Errorf("identity in %s: %w", dir, err)
	}
	return id, nil
}

func (id *Identity) path(name string) string { return filepath.Join(id.dir, name) }

func (id *Identity) load(certPEM []byte) error {
	var err error
	if id.key, err = readKey(id.path(keyFile)); err != nil {
		return err
	}
	if id.signer, err = record.NewSigner(id.key); err != nil {
		return err
	}
	if _, err := files.ReadJSON(id.path(rootFile), &id.root); err != nil {
		return err
	}
	sealed, err := os.ReadFile(id.path(listFile))
	if err != nil {
		return err
	}
	if id.list, err = record.OpenKeyList(id.root, sealed); err != nil {
		return err
	}
	secret, err := os.ReadFile(id.path(secretsFile))
	if err != nil {
		return err
	}
	if len(secret) != len(id.cred) {
		return fmt.Errorf("%s is damaged", secretsFile)
	}
	copy(id.cred[:], secret)
	id.cert, err = certificate(id.key, id.device, certPEM)
	return err
}

// certificate reads a certificate for our key and name. That it may have ended
// is no matter here: it is renewed then.
func certificate(key crypto.Signer, device record.DeviceID, certPEM []byte) (tls.Certificate, error) {
	keyPEM, err := keyToPEM(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return cert, fmt.Errorf("certificate: %w", err)
	}
	if name := cert.Leaf.Subject.CommonName; name != string(device) {
		return cert, record.Fail(record.CodeWrongDevice, fmt.Errorf("the certificate is for %q, the settings say %q", name, device))
	}
	return cert, nil
}

// issued is a certificate as certificate reads it that is also of the CA in the
// list: one that the hub itself would not know must not replace a good one.
func issued(key crypto.Signer, device record.DeviceID, list record.KeyList, certPEM []byte) (tls.Certificate, error) {
	cert, err := certificate(key, device, certPEM)
	if err != nil {
		return cert, err
	}
	_, err = cert.Leaf.Verify(x509.VerifyOptions{
		Roots: pool(list.CA), CurrentTime: cert.Leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return cert, fmt.Errorf("certificate: %w", err)
	}
	return cert, nil
}

// Signer signs with the device key.
func (id *Identity) Signer() *record.Signer { return id.signer }

// CredentialKey recognises cards at this device.
func (id *Identity) CredentialKey() record.CredentialKey { return id.cred }

// Keys is the newest list of hub keys.
func (id *Identity) Keys() record.KeyList {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.list
}

// Until is when the certificate ends.
func (id *Identity) Until() time.Time {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.cert.Leaf.NotAfter
}

// TLS is for one connection to the hub; now is max(OS clock, last-known time).
func (id *Identity) TLS(now func() time.Time) *tls.Config {
	id.mu.Lock()
	defer id.mu.Unlock()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.cert},
		RootCAs:      pool(id.list.CA),
		ServerName:   id.list.Hub,
		Time:         now,
	}
}

func pool(ca []byte) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(ca)
	return p
}

func newKey() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

const pemKey = "PRIVATE KEY"

func keyToPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("device key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

func readKey(path string) (crypto.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemKey {
		return nil, fmt.Errorf("%s holds no key", filepath.Base(path))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key of type %T cannot sign", filepath.Base(path), key)
	}
	return signer, nil
}
