package record

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// KeyUse is what a hub key may sign.
type KeyUse string

const (
	UsePolicy  KeyUse = "policy"
	UseOrder   KeyUse = "order"
	UseReceipt KeyUse = "receipt" // receipts and answers
)

// KeyList is signed by the municipality's offline root. Agents pin the root and
// take every other key from the newest list; Serial only rises.
type KeyList struct {
	Root   PublicKey `json:"root"`
	Serial uint64    `json:"serial"`
	Issued time.Time `json:"issued"`
	Hub    string    `json:"hub"`     // TLS server name of the hub
	MQTT   string    `json:"mqtt"`    // host:port of the broker
	CA     []byte    `json:"ca"`      // PEM; signs server, hub and device certificates
	Keys   []HubKey  `json:"keys"`    //
	LogKey string    `json:"log_key"` // note verifier key of the ledger's checkpoints
}

// HubKey is one key with its one use.
type HubKey struct {
	Use KeyUse    `json:"use"`
	Key PublicKey `json:"key"`
}

// For lists the keys of one use.
func (l KeyList) For(use KeyUse) []PublicKey {
	var out []PublicKey
	for _, k := range l.Keys {
		if k.Use == use {
			out = append(out, k.Key)
		}
	}
	return out
}

// OpenKeyList checks a sealed list against the pinned root.
func OpenKeyList(root PublicKey, sealed []byte) (KeyList, error) {
	var l KeyList
	if _, err := Unseal([]PublicKey{root}, TypeKeyList, sealed, &l); err != nil {
		return l, err
	}
	if l.Root.ID() != root.ID() {
		return l, Fail(CodeBadSignature, errors.New("key list names another root"))
	}
	return l, nil
}

// RootHash pins a root in an enrolment code: the first 10 bytes of SHA-256 over
// its SPKI. Making another root with the same 80 bits is a second-preimage
// search, not a collision search.
type RootHash [10]byte

// HashRoot computes the pin.
func HashRoot(root PublicKey) (h RootHash) {
	sum := sha256.Sum256(root.SPKI)
	copy(h[:], sum[:])
	return h
}

// EnrolCode is typed once at a new device: 80 random bits, the root's pin and a
// check byte, in groups of four letters. It is bound to one device at the hub.
type EnrolCode struct {
	Secret [10]byte
	Root   RootHash
}

// crockford has no letters that look like digits.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// NewEnrolCode makes a code for a hub with this root.
func NewEnrolCode(root PublicKey) EnrolCode {
	c := EnrolCode{Root: HashRoot(root)}
	rand.Read(c.Secret[:])
	return c
}

func (c EnrolCode) bytes() []byte {
	b := slices.Concat(c.Secret[:], c.Root[:])
	sum := sha256.Sum256(b)
	return append(b, sum[0])
}

// Text is the code as people read it: 34 letters and digits in groups. It is a
// secret until used, so there is no String method.
func (c EnrolCode) Text() string {
	s := crockford.EncodeToString(c.bytes())
	var groups []string
	for part := range slices.Chunk([]byte(s), 4) {
		groups = append(groups, string(part))
	}
	return strings.Join(groups, "-")
}

// Format and MarshalText keep the code out of logs, as text and as JSON.
func (EnrolCode) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redactedCode) }
func (EnrolCode) MarshalText() ([]byte, error) { return []byte(redactedCode), nil }

const redactedCode = "[enrolment code]"

// ParseEnrolCode accepts lower case, spaces, and the usual confusions of O, I
// and L with digits.
func ParseEnrolCode(s string) (EnrolCode, error) {
	var c EnrolCode
	s = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(strings.TrimSpace(s)))
	b, err := crockford.DecodeString(s)
	if err != nil || len(b) != len(c.Secret)+len(c.Root)+1 {
		return c, Fail(CodeEnrolCode, errors.New("an enrolment code has 34 letters and digits"))
	}
	copy(c.Secret[:], b)
	copy(c.Root[:], b[len(c.Secret):])
	if !slices.Equal(c.bytes(), b) {
		return EnrolCode{}, Fail(CodeEnrolCode, errors.New("the check letters do not match: a typing error"))
	}
	return c, nil
}

// SecretHash is what the hub keeps of a code.
func (c EnrolCode) SecretHash() Hash {
	return sha256.Sum256(append([]byte("sekimori/enrol/v1"), c.Secret[:]...))
}

// Paths of enrolment on the hub's HTTPS port.
const (
	PathKeyList = "/enrol/v1/keys"   // GET: sealed KeyList
	PathEnrol   = "/enrol/v1/device" // POST EnrolRequest → EnrolReply
	PathRenew   = "/enrol/v1/renew"  // POST sealed RenewRequest → EnrolReply
)

// EnrolRequest is sent only after the hub has shown the root the code pins.
type EnrolRequest struct {
	Device DeviceID `json:"device"`
	Secret []byte   `json:"secret"` // of the code
	CSR    []byte   `json:"csr"`    // PKCS #10, DER; its key becomes the device key
}

// RenewRequest is sealed with the device key: an expired certificate does not
// need a new code [T-51].
type RenewRequest struct {
	Device DeviceID  `json:"device"`
	CSR    []byte    `json:"csr"`
	At     time.Time `json:"at"`
}

// EnrolReply makes a device a member. CredentialKey is empty on renewal.
type EnrolReply struct {
	Certificate   []byte    `json:"certificate"` // PEM, leaf first
	KeyList       []byte    `json:"key_list"`    // sealed
	CredentialKey []byte    `json:"credential_key,omitempty"`
	HubTime       time.Time `json:"hub_time"`
}

// Problem is the body of every HTTP error.
type Problem struct {
	Code Code   `json:"code"`
	JA   string `json:"ja"`
	EN   string `json:"en"`
}

// PeekRoot reads the root that a sealed key list names, without checking the
// signature: the caller compares it with the pin first and opens the list with
// it then.
func PeekRoot(sealed []byte) (PublicKey, error) {
	var l KeyList
	err := peek(sealed, &l)
	return l.Root, err
}
