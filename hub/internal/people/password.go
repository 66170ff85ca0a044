package people

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// argon2id at OWASP's setting for servers: 19 MiB, 2 passes, 1 lane.
const (
	hashMemory = 19 << 10 // KiB
	hashTime   = 2
	hashLanes  = 1
	saltLen    = 16
	hashLen    = 32
)

// Bounds of a declared hash, so that a file cannot make sign-in take minutes or
// gigabytes.
const (
	maxHashMemory = 1 << 20 // KiB
	maxHashTime   = 16
)

// minPassword is in characters; longer is better than stranger.
const minPassword = 8

// ErrWeakPassword says that a password is too short.
var ErrWeakPassword = fmt.Errorf("a password has at least %d characters", minPassword)

// PasswordHash is an argon2id hash in the PHC form,
// "$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>". It redacts itself.
type PasswordHash string

// Format, LogValue and MarshalText keep hashes out of logs.
func (PasswordHash) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (PasswordHash) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (PasswordHash) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// HashPassword makes a hash with a random salt.
func HashPassword(password string) (PasswordHash, error) {
	if utf8.RuneCountInString(password) < minPassword {
		return "", ErrWeakPassword
	}
	salt := make([]byte, saltLen)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashLanes, hashLen)
	b64 := base64.RawStdEncoding.EncodeToString
	return PasswordHash(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashLanes, b64(salt), b64(sum))), nil
}

type parsedHash struct {
	memory, time uint32
	lanes        uint8
	salt, sum    []byte
}

func parseHash(h PasswordHash) (parsedHash, error) {
	var p parsedHash
	var version int
	parts := strings.Split(string(h), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, errors.New("not an argon2id hash")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, errors.New("not argon2id version 19")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.lanes); err != nil {
		return p, errors.New("argon2id parameters not readable")
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	p.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case err1 != nil || err2 != nil || len(p.salt) < 8 || len(p.sum) < 16 || len(p.sum) > 64:
		return p, errors.New("argon2id salt or hash not readable")
	case p.memory < 8<<10 || p.memory > maxHashMemory || p.time < 1 || p.time > maxHashTime || p.lanes < 1:
		return p, errors.New("argon2id parameters out of range")
	}
	return p, nil
}

// matches tells whether password is the one hashed.
func (p parsedHash) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.lanes, uint32(len(p.sum)))
	return subtle.ConstantTimeCompare(sum, p.sum) == 1
}
