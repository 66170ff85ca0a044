package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names within the folder.
const (
	infoFile    = "hub.json" // Options, public
	rootPubFile = "root.pub"
	offlineDir  = "offline"
	rootKeyFile = "offline/root.key"
	readmeFile  = "offline/README.txt"
	caCertFile  = "ca.crt"
	caKeyFile   = "ca.key"
	serverName  = "server" // .crt and .key
	linkName    = "link"   // .crt and .key
	policyFile  = "policy.key"
	orderFile   = "order.key"
	receiptFile = "receipt.key"
	logFile     = "log.key"  // note signer
	logPubFile  = "log.pub"  // note verifier
	sealFile    = "seal.key" // 32 bytes, hex
	keyListFile = "keylist.dsse"
)

// secretFiles are the files whose readers could act as the hub.
var secretFiles = []string{caKeyFile, serverName + ".key", linkName + ".key", policyFile, orderFile, receiptFile, logFile, sealFile}

// ErrExists means that the folder holds keys already: they are never replaced.
var ErrExists = errors.New("this folder holds keys already")

// ErrExposed means that a key can be read by others than the hub's own user.
var ErrExposed = errors.New("a key file can be read by other users")

// writeNew writes a file that must not exist, readable by this user alone and
// durable when it returns.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// replace swaps a file whole: a reader finds the old content or the new.
func replace(path string, data []byte) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(tmp, data); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

const (
	pemKey  = "PRIVATE KEY"
	pemCert = "CERTIFICATE"
)

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der})
}

func parseKey(b []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemKey {
		return nil, errors.New("not a private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

func parseCert(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemCert {
		return nil, errors.New("not a certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Finding is one thing wrong with how keys are kept.
type Finding struct {
	Code   string // "key-exposed", "root-online", "folder-exposed"
	File   string // within the folder
	JA, EN string
}

// SelfCheck looks at the folder as an auditor would [001-4.5(1)].
func SelfCheck(dir string) ([]Finding, error) {
	var found []Finding
	for _, name := range append([]string{"."}, secretFiles...) {
		open, err := exposed(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return found, fmt.Errorf("look at the rights of %s: %w", name, err)
		}
		if open {
			found = append(found, exposure(name))
		}
	}
	_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(rootKeyFile)))
	if err == nil {
		found = append(found, Finding{Code: "root-online", File: rootKeyFile,
			JA: "オフライン用の根の鍵がこのサーバに残っています。2つの媒体に写し、金庫に保管し、このファイルを消してください。",
			EN: "The offline root key is still on this server. Copy it to two media, lock them away, and delete this file."})
	}
	return found, nil
}

func exposure(name string) Finding {
	if name == "." {
		return Finding{Code: "folder-exposed", File: name,
			JA: "鍵のフォルダをほかの利用者が開けます。サービスの利用者だけが読めるようにしてください(chmod 700)。",
			EN: "Other users may open the key folder. Let only the service's user read it (chmod 700)."}
	}
	return Finding{Code: "key-exposed", File: name,
		JA: "鍵のファイルをほかの利用者が読めます。サービスの利用者だけが読めるようにし(chmod 600)、鍵の取替えを検討してください。",
		EN: "Other users may read a key file. Let only the service's user read it (chmod 600), and consider replacing the key."}
}
