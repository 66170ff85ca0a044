package record

import (
	"encoding/json"
	"time"
)

// Question is what a device asks.
type Question string

const (
	// AskSync comes first after each connection: who am I, what time is it, what
	// do you hold of me. Body Status.
	AskSync Question = "sync"
	// AskHeartbeat comes at intervals and says the same of the device. Body Status.
	AskHeartbeat Question = "heartbeat"
	// AskCosign offers this witness's cosignature of a checkpoint. Body Cosignature.
	AskCosign Question = "cosign"
)

// Ask is signed by the device key. Nonce ties the answer to it, so that an old
// answer cannot set a clock.
type Ask struct {
	Device   DeviceID        `json:"device"`
	Nonce    Hash            `json:"nonce"`
	Question Question        `json:"question"`
	Body     json.RawMessage `json:"body,omitempty"`
}

// Status is how a device is. Presence is judged from fresh statuses only, never
// from a retained message or a last will [T-50].
type Status struct {
	Boot       BootID        `json:"boot"`
	Mono       time.Duration `json:"mono"`
	Wall       time.Time     `json:"wall"`
	Quality    TimeQuality   `json:"tq"`
	Version    string        `json:"version"`
	Policy     uint64        `json:"policy"`
	LastOrder  uint64        `json:"last_order"`
	Generation uint64        `json:"generation"`
	Epoch      Epoch         `json:"epoch"`
	LastSeq    uint64        `json:"last_seq"`
	Acked      uint64        `json:"acked"`
	JournalUse int           `json:"journal_use"` // percent of its bound
	LogSize    int64         `json:"log_size"`    // newest checkpoint held as a witness
	LogRoot    Hash          `json:"log_root"`
	Readers    []ReaderInfo  `json:"readers,omitempty"`
	Doors      []DoorInfo    `json:"doors,omitempty"`
	CertUntil  time.Time     `json:"cert_until"`
}

// ReaderInfo is one reader's health.
type ReaderInfo struct {
	Reader  ReaderID `json:"reader"`
	Door    DoorCode `json:"door"`
	Online  bool     `json:"online"`
	Tamper  bool     `json:"tamper,omitempty"`
	Frames  uint64   `json:"frames"`
	Noise   uint64   `json:"noise,omitempty"`
	Retries uint64   `json:"retries,omitempty"`
}

// DoorInfo is one door's state, by name.
type DoorInfo struct {
	Door  DoorCode `json:"door"`
	State string   `json:"state"`
}

// Cosignature is a witness's signature line for a checkpoint.
type Cosignature struct {
	Size int64  `json:"size"`
	Root Hash   `json:"root"`
	Line string `json:"line"`
}

// Answer is signed by the hub's receipt key.
type Answer struct {
	Device     DeviceID  `json:"device"`
	Nonce      Hash      `json:"nonce"` // of the ask
	HubTime    time.Time `json:"hub_time"`
	Held       []Held    `json:"held"`
	Generation uint64    `json:"generation"`
	Policy     uint64    `json:"policy"` // newest version for this device
	LastOrder  uint64    `json:"last_order"`
	Log        *LogView  `json:"log,omitempty"`
}
