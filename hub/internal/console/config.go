package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/policy"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Registers answers what pages show. A register.Reader is one.
type Registers interface {
	// Cursor is the index of the newest ledger row the registers show, -1 for none.
	Cursor(ctx context.Context) (int64, error)
	Stays(ctx context.Context, f store.RegisterFilter) ([]register.StayRow, error)
	Denials(ctx context.Context, f store.RegisterFilter) ([]register.DenialRow, error)
	// Occupants is who was inside at a moment.
	Occupants(ctx context.Context, at time.Time) ([]register.Occupant, error)
	// Equipped is what is fitted at the doors.
	Equipped(ctx context.Context) (map[record.DoorCode]register.Equipped, error)
}

// Memory keeps sessions and failed sign-ins, and knows the devices. A
// store.Store is one.
type Memory interface {
	Update(ctx context.Context, f func(tx store.Tx) error) error
	View(ctx context.Context, f func(tx store.ReadTx) error) error
	// Changed is closed after the next commit.
	Changed() <-chan struct{}
}

// Directory is the master data as of an instant. A *people.Directory is one.
type Directory interface {
	Municipality(at time.Time) people.Municipality
	User(login string, at time.Time) (people.User, bool)
	Resolve(person record.PersonID, at time.Time) (ledger.Resolved, bool)
	ResolveAs(person record.PersonID, post record.PostID, at time.Time) (ledger.Resolved, bool)
	Attempts(at time.Time) people.Attempts
	People(at time.Time) []people.Person
	Rooms(at time.Time) []people.Room
	Doors(at time.Time) []people.Door
}

// Accounts checks passwords, and takes as long for an account that does not
// exist. A *people.Registry is one.
type Accounts interface {
	// CheckPassword gives the person, or people.ErrSignIn.
	CheckPassword(ctx context.Context, login, password string) (record.PersonID, error)
}

// Recorder makes facts durable in the ledger. An *ingest.Ingest is one.
type Recorder interface {
	Record(ctx context.Context, facts []ledger.Fact) error
}

// Orders sends signed orders to controllers. A *policy.Service is one.
type Orders interface {
	IssueOrder(ctx context.Context, i policy.Issue) (uint64, error)
}

// Rights decides who may act in a room. The error is ErrMayNot, wrapped, where
// the person may not.
type Rights interface {
	May(person record.PersonID, act Act, room record.RoomCode, now time.Time) (Actor, error)
}

// Act is something that changes a room or its register.
type Act string

// The acts of this console, all of them the 入退室管理者's [000-8.2].
const (
	ActCloseStay   Act = "close_stay"
	ActEntryByHand Act = "entry_by_hand"
	ActRearm       Act = "rearm"
	ActCloseRoom   Act = "close_room"
	ActReopenRoom  Act = "reopen_room"
)

// Actor is who acts, as the holder of which post.
type Actor struct {
	Who  ledger.Resolved
	Post record.PostID
}

// ErrMayNot says that a person has no right to an act.
var ErrMayNot = errors.New("not this room's manager")

// Config of the console. Everything is required but Stopping and the
// durations.
type Config struct {
	Registers Registers
	Memory    Memory
	Directory Directory
	Accounts  Accounts
	Recorder  Recorder
	Orders    Orders
	Rights    Rights
	Log       *slog.Logger

	// Writable tells why nothing can be stored at present, or nil; /readyz and
	// 本日の状況 ask it.
	Writable func() error
	// Stopping is closed when the hub begins to stop: event streams end, so that
	// the HTTP server can. nil never ends them.
	Stopping <-chan struct{}
	// Presence is how fresh a device's status must be to count as 正常; 0: 90 s.
	Presence time.Duration
	// Unconfirmed is how long a stay may be open before it is shown as
	// 退室未確認, as the registers count it; 0: 24 h.
	Unconfirmed time.Duration
}

// New checks the configuration and makes the handler. It must be served over
// TLS: its cookie is for secure connections only.
func New(c Config) (http.Handler, error) {
	if c.Registers == nil || c.Memory == nil || c.Directory == nil || c.Accounts == nil || c.Recorder == nil ||
		c.Orders == nil || c.Rights == nil || c.Log == nil || c.Writable == nil {
		return nil, errors.New("console: a part is missing")
	}
	if c.Presence == 0 {
		c.Presence = 90 * time.Second
	}
	if c.Unconfirmed == 0 {
		c.Unconfirmed = 24 * time.Hour
	}
	pages, err := loadPages()
	if err != nil {
		return nil, err
	}
	con := &console{Config: c, pages: pages, sessions: newSessions(c.Memory, c.Log), slow: newSlowDown(), hashing: make(chan struct{}, 2),
		streams: make(chan struct{}, maxStreams)}
	return con.routes(), nil
}

// console is what the handlers share.
type console struct {
	Config
	pages    *pages
	sessions *sessions
	slow     *slowDown
	hashing  chan struct{} // bounds the memory of password checks
	streams  chan struct{} // bounds open event streams
}
