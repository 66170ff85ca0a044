package record

import "time"

// Held says how far one epoch is durable at the hub: every seq up to and
// including Seq. It is cumulative and is sent only after the commit [T-52].
type Held struct {
	Epoch Epoch  `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Receipt tells a device what the hub holds of it. Nothing else does: a PUBACK
// is transport.
type Receipt struct {
	Device     DeviceID  `json:"device"`
	Held       []Held    `json:"held"`
	HubTime    time.Time `json:"hub_time"`
	Generation uint64    `json:"generation"`        // of the log; a restored backup opens a new one
	Log        *LogView  `json:"log,omitempty"`     // at times, for the witness
	Refused    *Refusal  `json:"refused,omitempty"` // the batch that could not be taken, and why
}

// Refusal names a batch the hub will not take however often it comes.
type Refusal struct {
	Epoch Epoch  `json:"epoch"`
	First uint64 `json:"first"`
	Code  Code   `json:"code"`
}

// LogView is the hub's log as shown to one witness: the newest signed
// checkpoint (C2SP tlog-checkpoint, a signed note, with the cosignatures of
// other witnesses on it) and a proof that it extends the tree of size From,
// which is the size this witness said it holds.
type LogView struct {
	Checkpoint []byte `json:"checkpoint"`
	From       int64  `json:"from"`
	Proof      []Hash `json:"proof,omitempty"` // RFC 6962 consistency proof, empty when From is 0 or equal
}
