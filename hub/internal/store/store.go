// Package store is the hub's durable memory as a contract, so that what stands
// on it does not know which database holds it.
//
//	Update ── one writer, one transaction, durable when it returns ──┐
//	                                                                 ▼
//	  ledger rows + salts + tree hashes | device states | master data | register rows
//	                                                                 ▲
//	View ──── any number, each a consistent snapshot ────────────────┘
//
// Everything above the line lives in one database, so that a row, its salt, its
// tree hashes and the receipt state that tells the device are committed
// together or not at all. Package sqlite is the embedded implementation;
// storetest is the conformance suite every implementation runs.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"sekimori/internal/record"
)

// Errors an implementation returns, wrapped.
var (
	ErrNotFound = errors.New("not found")
	ErrFull     = errors.New("the disk is full") // nothing was written; free space and try again
	ErrExists   = errors.New("exists already")
)

// Store is one municipality's memory.
type Store interface {
	// Update runs f in the only write transaction. It returns nil only when
	// everything f did is durable. f may be called again if the transaction has
	// to be retried, so it must not touch anything but tx.
	Update(ctx context.Context, f func(tx Tx) error) error
	// View runs f on a snapshot; f must not keep tx.
	View(ctx context.Context, f func(tx ReadTx) error) error
	// Changed is closed after the next commit; ask again for the one after.
	Changed() <-chan struct{}
	// Close waits for the writer.
	Close() error
}

// ReadTx reads.
type ReadTx interface {
	LedgerReader
	DeviceReader
	MasterReader
	RegisterReader
	StateReader
}

// Tx reads and writes.
type Tx interface {
	ReadTx
	LedgerWriter
	DeviceWriter
	MasterWriter
	RegisterWriter
	StateWriter
}

// LedgerRow is one line of the ledger as stored. Row is the committed canonical
// bytes, hidden behind Salt; Event is the device's bytes, hidden behind
// EventSalt. Both may be erased after their term; the tree keeps its hashes.
type LedgerRow struct {
	Index     int64 // from 0, gapless
	Row       []byte
	Salt      record.Salt
	Event     []byte // nil for facts that are not a device's
	EventSalt record.Salt
	Device    record.DeviceID // "" for facts that are not a device's
	Epoch     record.Epoch
	Seq       uint64
	At        time.Time // effective time, for look-ups
	Envelope  int64     // the StoredEnvelope that signed the event, 0 for none
}

// LedgerReader reads the ledger.
type LedgerReader interface {
	Size() (int64, error)
	Rows(from int64, n int) ([]LedgerRow, error)
	// RowOf finds a device's event; ErrNotFound where it is not held.
	RowOf(device record.DeviceID, epoch record.Epoch, seq uint64) (LedgerRow, error)
	// Hashes reads tree hashes by tlog stored-hash index.
	Hashes(indexes []int64) ([]record.Hash, error)
	// Checkpoint is the newest signed note; ErrNotFound before the first.
	Checkpoint() ([]byte, error)
	// Envelope is a signed batch head as received.
	Envelope(id int64) ([]byte, error)
}

// LedgerWriter appends; nothing changes a row.
type LedgerWriter interface {
	AppendRows(rows []LedgerRow) error
	AppendHashes(from int64, hashes []record.Hash) error
	PutCheckpoint(size int64, note []byte) error
	AppendEnvelope(device record.DeviceID, epoch record.Epoch, first uint64, count int, envelope []byte) (id int64, err error)
}

// DeviceState is what the hub knows of a device.
type DeviceState struct {
	Device      record.DeviceID
	Key         record.PublicKey // of its certificate
	Serial      string           // of its certificate, hex
	CertUntil   time.Time
	Enrolled    time.Time
	Revoked     bool
	Credential  []byte          // record.CredentialKey
	Held        []record.Held   // contiguous and durable, newest epoch last
	LastSent    uint64          // BatchHead.Sent of LastBoot, against replays
	LastBoot    record.BootID   //
	LastPrev    record.Hash     // commitment of the newest event of the newest epoch
	Policy      uint64          // newest compiled
	PolicyAck   uint64          // newest confirmed
	PolicyAckAt time.Time       // device's own time of the confirmation
	LastOrder   uint64          // newest issued
	Status      json.RawMessage // newest record.Status
	SeenAt      time.Time       // when it came
}

// DeviceReader reads device states.
type DeviceReader interface {
	Device(id record.DeviceID) (DeviceState, error)
	Devices() ([]DeviceState, error)
}

// DeviceWriter replaces one.
type DeviceWriter interface{ PutDevice(DeviceState) error }

// MasterItem is one version of one thing people declare: a person, post, room,
// door, permit, credential, schedule, calendar day, user. It holds from From
// until the next version's From. Index is the ledger row that declared it.
type MasterItem struct {
	Kind    string
	ID      string
	From    time.Time
	Deleted bool
	Index   int64
	Data    json.RawMessage
}

// MasterReader reads declared things.
type MasterReader interface {
	// MasterAll lists every version of every item of a kind, by ID then From.
	MasterAll(kind string) ([]MasterItem, error)
}

// MasterWriter adds a version; the same (kind, ID, From) again replaces it, and
// the ledger keeps both.
type MasterWriter interface{ PutMaster(MasterItem) error }

// RegisterRow is one row of one register: a projection, always rebuildable
// from the ledger. Numbers run per (Register, Series, FiscalYear) without gaps.
type RegisterRow struct {
	Register   string // "REG-01", "denials"
	Series     string // room code where numbering runs per room, else ""
	FiscalYear int    // 2026 is 令和8年度
	Number     int64  // 通番, given by AddRegisterRow
	Key        string // joins later facts to this row (grant, stay); unique per register when not empty
	Room       string
	Person     string
	Door       string
	Kind       string // result or event kind, for filters
	Reason     string
	Severity   string     // "alarm" or "record"
	At         time.Time  // entry, or when it happened
	Until      *time.Time // exit
	Open       bool       // still waits for something: an exit, a confirmation
	Late       bool       // 遅延受信
	Index      int64      // ledger row that made it
	Changed    int64      // ledger row that last changed it
	Data       json.RawMessage
}

// RegisterFilter selects rows; zero fields do not filter.
type RegisterFilter struct {
	Register       string
	Series         string
	FiscalYear     int
	Room           string
	Person         string
	Kind           string
	Reason         string
	Severity       string
	From, To       time.Time // At in [From, To)
	Open           *bool
	ChangedAfter   int64 // Changed > this, for live lists; set OrderByChanged with it
	OrderByChanged bool
	Newest         bool // newest first; otherwise oldest first
	Limit          int  // 0: 1000
	Offset         int
}

// RegisterReader queries registers.
type RegisterReader interface {
	RegisterRows(f RegisterFilter) ([]RegisterRow, error)
	RegisterCount(f RegisterFilter) (int64, error)
	RegisterRow(register, key string) (RegisterRow, error) // by Key
	// AllRegisterRows reads every row, by register, series, year and number.
	AllRegisterRows() iter.Seq2[RegisterRow, error]
}

// RegisterWriter writes projections.
type RegisterWriter interface {
	// AddRegisterRow gives the next number of its series and year and returns it.
	AddRegisterRow(RegisterRow) (number int64, err error)
	// PutRegisterRow replaces the row of the same register, series, year and number.
	PutRegisterRow(RegisterRow) error
	// ClearRegisters drops every register row and counter, for a rebuild.
	ClearRegisters() error
}

// StateReader and StateWriter keep small named values: cursors, sessions,
// enrolment codes, PIN roots. Secrets are sealed by their owner before they
// come here.
type StateReader interface {
	State(name string) ([]byte, error) // ErrNotFound
	// States lists names with a prefix.
	States(prefix string) (map[string][]byte, error)
}

// StateWriter replaces or deletes.
type StateWriter interface {
	PutState(name string, value []byte) error
	DeleteState(name string) error
}
