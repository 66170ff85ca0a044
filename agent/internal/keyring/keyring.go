// Package keyring keeps what this device and its readers share: the own key of
// each OSDP reader, the password of each fingerprint module, and the key with
// which cards prove themselves.
//
//	commissioning ── Prepare ──▶ D31-in.osdp.new ── the reader has it ── Keep ──▶ D31-in.osdp
//	                                                                      Get ◀── every start
//
// A secret is written down before the reader is told it: a commissioning that
// was cut short is repeated with the same secret, and no reader is left with one
// that nobody knows. Each secret is one file that only the service's user may
// read, and names the device and the reader it is for: a copy beside another
// device's journal opens nothing [001-4.5(1), T-22, T-23]. The folder is no part
// of the journal, and nothing here is ever sent.
package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"sekimori/agent/internal/files"
	"sekimori/internal/record"
)

// Use says what a secret is for.
type Use string

const (
	UseOSDP        Use = "osdp"        // SCBK, 16 bytes
	UseFingerprint Use = "fingerprint" // module password, 4 bytes
	UseCards       Use = "cards"       // site key of cards that prove themselves, 16 bytes
)

// size of each secret in bytes.
var size = map[Use]int{UseOSDP: 16, UseFingerprint: 4, UseCards: 16}

// Secret redacts itself wherever it is printed, logged or marshalled.
type Secret []byte

const redacted = "[redacted]"

// String, GoString, Format, LogValue and MarshalText keep a secret out of every
// log and message.
func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ErrForeign is a secret of another device or reader in this one's place.
var ErrForeign = errors.New("the secret is for another device or reader")

// Ring is the folder of one device. One program at a time changes it.
type Ring struct {
	dir    string
	device record.DeviceID
}

// Open names the folder; it is made when the first secret is put in.
func Open(dir string, device record.DeviceID) Ring { return Ring{dir, device} }

// entry is one file.
type entry struct {
	Device record.DeviceID `json:"device"`
	Reader record.ReaderID `json:"reader"`
	Use    Use             `json:"use"`
	Secret []byte          `json:"secret"`
}

// Get is the secret of a reader; found is false where there is none.
func (r Ring) Get(reader record.ReaderID, use Use) (s Secret, found bool, err error) {
	return r.read(r.path(reader, use), reader, use)
}

// Prepare is the secret to commission a reader with: the one that an earlier
// commissioning prepared and did not finish, or what fresh makes. It is durable
// when Prepare returns.
func (r Ring) Prepare(reader record.ReaderID, use Use, fresh func() Secret) (Secret, error) {
	path := r.pending(reader, use)
	s, found, err := r.read(path, reader, use)
	if found || err != nil {
		return s, err
	}
	s = fresh()
	return s, r.write(path, reader, use, s)
}

// Keep makes the prepared secret the reader's. The reader has proved that it
// holds it.
func (r Ring) Keep(reader record.ReaderID, use Use) error {
	s, found, err := r.read(r.pending(reader, use), reader, use)
	if err != nil || !found {
		return errors.Join(err, fmt.Errorf("keyring: no secret was prepared for %s", reader))
	}
	if err := r.Put(reader, use, s); err != nil {
		return err
	}
	return files.Remove(r.pending(reader, use))
}

// Put replaces a reader's secret.
func (r Ring) Put(reader record.ReaderID, use Use, s Secret) error {
	return r.write(r.path(reader, use), reader, use, s)
}

func (r Ring) path(reader record.ReaderID, use Use) string {
	return filepath.Join(r.dir, filepath.Base(string(reader))+"."+string(use))
}

func (r Ring) pending(reader record.ReaderID, use Use) string { return r.path(reader, use) + ".new" }

func (r Ring) write(path string, reader record.ReaderID, use Use, s Secret) error {
	if len(s) != size[use] {
		return fmt.Errorf("keyring: a secret of %d bytes for %s, want %d", len(s), use, size[use])
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	if err := files.WriteJSON(path, entry{r.device, reader, use, s}); err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	return nil
}

// read quotes nothing of a damaged file: it may be nearly a key.
func (r Ring) read(path string, reader record.ReaderID, use Use) (Secret, bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("keyring: %w", err)
	}
	var e entry
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&e) != nil || len(e.Secret) != size[use] {
		return nil, false, fmt.Errorf("keyring: %s is damaged", filepath.Base(path))
	}
	if e.Device != r.device || e.Reader != reader || e.Use != use {
		return nil, false, fmt.Errorf("keyring: %s: %w", filepath.Base(path), ErrForeign)
	}
	return e.Secret, true, nil
}
