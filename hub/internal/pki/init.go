package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Options of a new municipality. Names in certificates are seen by everybody on
// the wire: they name the municipality and the hub, never a room [T-26].
type Options struct {
	Municipality string        `json:"municipality"`          // 関森市
	HubName      string        `json:"hub"`                   // TLS server name, "hub.kanmori.lan"
	MQTTAddr     string        `json:"mqtt"`                  // host:port that devices dial
	Addresses    []string      `json:"addresses,omitempty"`   // further DNS names and IP addresses of the hub
	DeviceLife   time.Duration `json:"device_life,omitempty"` // of device certificates, ns; 0: 397 days
}

const (
	defaultLife = 397 * 24 * time.Hour
	caYears     = 20
)

// longAgo is when every certificate begins: see the package comment.
var longAgo = time.Unix(0, 0).UTC()

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

func (o Options) check() error {
	var errs []error
	if o.Municipality == "" {
		errs = append(errs, errors.New("the municipality has no name"))
	}
	if !hostName.MatchString(o.HubName) {
		errs = append(errs, fmt.Errorf("hub name %q is not a host name", o.HubName))
	}
	if host, port, err := net.SplitHostPort(o.MQTTAddr); err != nil || host == "" || port == "" {
		errs = append(errs, fmt.Errorf("MQTT address %q is not host:port", o.MQTTAddr))
	}
	for _, a := range o.Addresses {
		if net.ParseIP(a) == nil && !hostName.MatchString(a) {
			errs = append(errs, fmt.Errorf("address %q is neither a host name nor an IP address", a))
		}
	}
	if o.DeviceLife < 0 {
		errs = append(errs, errors.New("the life of device certificates is negative"))
	}
	return errors.Join(errs...)
}

// Init makes everything a municipality's hub needs, in dir, all or nothing. It
// is ErrExists where dir holds anything. The root's private key is written to
// offline/root.key for its keepers to take away; the hub runs without it.
func Init(dir string, o Options) error {
	if err := o.check(); err != nil {
		return fmt.Errorf("make hub keys: %w", err)
	}
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		return fmt.Errorf("make hub keys in %s: %w", dir, ErrExists)
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("make hub keys: %w", err)
	}
	tmp, err := os.MkdirTemp(parent, ".keys-*")
	if err != nil {
		return fmt.Errorf("make hub keys: %w", err)
	}
	defer os.RemoveAll(tmp) // finds nothing after the rename
	if err := keepPrivate(tmp); err != nil {
		return fmt.Errorf("make hub keys: %w", err)
	}
	if err := fill(tmp, o); err != nil {
		return fmt.Errorf("make hub keys: %w", err)
	}
	return publish(tmp, dir)
}

// publish gives the finished folder its name. Only an empty folder gives way.
func publish(tmp, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make hub keys in %s: %w", dir, errors.Join(ErrExists, err))
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("make hub keys: %w", err)
	}
	return syncDir(filepath.Dir(dir))
}

// fresh is one set of new keys on its way into a folder.
type fresh struct {
	dir   string
	files map[string][]byte
	list  record.KeyList
}

func fill(dir string, o Options) error {
	f := &fresh{dir: dir, files: map[string][]byte{}}
	f.list = record.KeyList{Serial: 1, Issued: clock.Now().UTC(), Hub: o.HubName, MQTT: o.MQTTAddr}
	if err := f.hubKeys(o); err != nil {
		return err
	}
	if err := f.certificates(o); err != nil {
		return err
	}
	if err := f.root(); err != nil {
		return err
	}
	info, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return err
	}
	f.files[infoFile] = info
	return f.write()
}

// hubKeys makes one key per use, the log key and the sealing key.
func (f *fresh) hubKeys(o Options) error {
	for _, k := range []struct {
		use  record.KeyUse
		file string
	}{{record.UsePolicy, policyFile}, {record.UseOrder, orderFile}, {record.UseReceipt, receiptFile}} {
		pub, err := f.ed25519(k.file)
		if err != nil {
			return err
		}
		f.list.Keys = append(f.list.Keys, record.HubKey{Use: k.use, Key: pub})
	}
	signer, verifier, err := note.GenerateKey(rand.Reader, o.HubName+"/ledger")
	if err != nil {
		return fmt.Errorf("log key: %w", err)
	}
	f.list.LogKey = verifier
	f.files[logFile], f.files[logPubFile] = []byte(signer), []byte(verifier)
	seal := make([]byte, 32)
	rand.Read(seal)
	f.files[sealFile] = []byte(hex.EncodeToString(seal))
	return nil
}

func (f *fresh) ed25519(file string) (record.PublicKey, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return record.PublicKey{}, err
	}
	if f.files[file], err = keyPEM(key); err != nil {
		return record.PublicKey{}, err
	}
	return record.NewPublicKey(pub)
}

// certificates are P-256: browsers, which come to the same port, know no Ed25519.
func (f *fresh) certificates(o Options) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if f.files[caKeyFile], err = keyPEM(key); err != nil {
		return err
	}
	der, err := selfSign(key, o, f.list.Issued)
	if err != nil {
		return err
	}
	f.files[caCertFile] = certPEM(der)
	f.list.CA = f.files[caCertFile]
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	ca := &issuer{cert: cert, key: key}
	for name, template := range map[string]*x509.Certificate{serverName: serverTemplate(o), linkName: clientTemplate("hub", "hub")} {
		key, cert, err := ca.pair(template, f.list.Issued.Add(defaultLife))
		if err != nil {
			return err
		}
		f.files[name+".key"], f.files[name+".crt"] = key, cert
	}
	return nil
}

// root signs the list last, when everything it names is there.
func (f *fresh) root() error {
	pub, err := f.ed25519(rootKeyFile)
	if err != nil {
		return err
	}
	f.list.Root = pub
	key, err := parseKey(f.files[rootKeyFile])
	if err != nil {
		return err
	}
	sealed, err := sealList(key, f.list)
	if err != nil {
		return err
	}
	rootJSON, err := json.Marshal(pub)
	if err != nil {
		return err
	}
	f.files[rootPubFile], f.files[keyListFile], f.files[readmeFile] = rootJSON, sealed, []byte(readme)
	return nil
}

func sealList(root crypto.Signer, list record.KeyList) ([]byte, error) {
	signer, err := record.NewSigner(root)
	if err != nil {
		return nil, err
	}
	return record.Seal(signer, record.TypeKeyList, list)
}

func (f *fresh) write() error {
	if err := os.Mkdir(filepath.Join(f.dir, offlineDir), 0o700); err != nil {
		return err
	}
	for name, data := range f.files {
		if err := writeNew(filepath.Join(f.dir, filepath.FromSlash(name)), data); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(filepath.Join(f.dir, offlineDir)), syncDir(f.dir))
}

var readme = strings.TrimLeft(`
このフォルダの root.key は、この市町村の「根の鍵」です。
中央管理装置の鍵の一覧に署名するためだけに使い、ふだんは使いません。

 1. root.key を 2 つの記録媒体(USB メモリなど)に写す。
 2. 読めることを確かめ、別々の金庫に保管し、鍵・カード管理簿に記す。
 3. このサーバの root.key を消す。sekimori-hub は無くても動きます。

root.key を失うと、鍵を取り替えるとき全機器の再登録が必要です。
root.key を盗まれると、偽の中央管理装置を作られます。

--
root.key is the municipality's root key. It signs the hub's list of keys and
nothing else. Copy it to two media, check that they read back, lock them in two
places, enter them in the key register, and delete it from this server: the hub
runs without it.
`, "\n")
