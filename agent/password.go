package agent

import (
	"encoding/binary"

	"sekimori/agent/internal/keyring"
	"sekimori/drivers/fingerprint"
)

// modulePassword is a fingerprint module's password as the keyring has it, 4
// bytes, big-endian.
func modulePassword(s keyring.Secret) (fingerprint.Password, error) {
	return fingerprint.NewPassword(binary.BigEndian.Uint32(s))
}
