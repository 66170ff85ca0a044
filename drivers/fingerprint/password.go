package fingerprint

import (
	"errors"
	"fmt"
	"log/slog"
)

// Password binds a module to one host. It redacts itself wherever it is printed,
// logged or marshalled.
type Password struct{ value uint32 }

// factory is the password every module leaves its maker with.
var factory = Password{}

// NewPassword takes 32 random bits; 0 is the factory's password and none at all.
func NewPassword(v uint32) (Password, error) {
	if v == factory.value {
		return Password{}, errors.New("fingerprint: a password of 0 is the factory's")
	}
	return Password{v}, nil
}

const redacted = "[redacted]"

// String, GoString, Format, LogValue and MarshalText keep the password out of
// every log and message.
func (p Password) String() string               { return redacted }
func (p Password) GoString() string             { return redacted }
func (p Password) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (p Password) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (p Password) MarshalText() ([]byte, error) { return []byte(redacted), nil }
