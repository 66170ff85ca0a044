// Package journal is where an agent writes down what happened before anything
// acts on it [T-40], and keeps it until the hub has said that it has it [T-52].
//
//	decide ──Append──▶ journal ──Read──▶ uplink ──▶ hub
//	   ◀── durable ──┘    ▲                          │
//	 lock may move        └──────Acknowledge─────────┘
//
// Vocabulary:
//
//	event       opaque bytes; what they mean is the caller's affair
//	epoch       16 random bytes naming one unbroken life of the journal
//	seq         1, 2, 3 … without a gap within an epoch
//	commitment  SHA-256 of prefix, salt and event; each event names the one before
//	segment     one file of the journal, preallocated
//	reserve     file space held back for safety events
//	pending     durable, and not yet acknowledged by the hub
//
// What it promises:
//
//   - Append returns nil only when the record survives a power cut. Many callers
//     share one sync of the disk.
//   - What was confirmed is there after a crash, in order, once. What was not
//     confirmed may be there too: a caller that got an error knows nothing.
//   - Read returns only what is durable, so a sequence number that has left this
//     computer never comes to mean another event.
//   - Pending records are never deleted. When there is no room, Normal events
//     are refused, Safety events go to the reserve, and one row counts the
//     refusals once there is room again.
//   - Confirmed records that can no longer be read are never passed over in
//     silence: a new epoch begins, whose first row names the old one and the gap.
//
// README.md draws the life of a record, and says what happens at each failure.
package journal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"sekimori/agent/internal/journal/disk"
)

var (
	// ErrFull: there is no room for this class of event. Nothing was written;
	// the refusal is counted and will be reported in a row of its own. Entry
	// must fail closed; exit does not wait for software [T-15].
	ErrFull = errors.New("the journal is full")
	// ErrClosed: the journal was closed before the event was written.
	ErrClosed = errors.New("the journal is closed")
	// ErrTooLarge: the event is empty or longer than MaxEvent.
	ErrTooLarge = errors.New("event is empty or too long for the journal")
	// ErrUnknownEpoch: the journal holds nothing of this epoch.
	ErrUnknownEpoch = errors.New("unknown journal epoch")
	// ErrAhead: the hub holds more than was ever confirmed here. The journal
	// was rolled back (a copied card, a disk that lied), so it leaves the
	// epoch rather than use a sequence number twice.
	ErrAhead = errors.New("the hub holds more than this journal")
)

// Epoch names one unbroken life of a journal; it is random. The zero Epoch
// means none.
type Epoch [16]byte

// String is the epoch in hexadecimal.
func (e Epoch) String() string { return hex.EncodeToString(e[:]) }

// Class says what may refuse an event.
type Class uint8

const (
	// Normal events are refused when only the reserve is left.
	Normal Class = iota + 1
	// Safety events (fire release, forced door, duress, stop orders) use the
	// reserve.
	Safety

	classFull  // the journal's own row: events were refused
	classEpoch // the journal's own row: an epoch began
)

// Position is where an event stands; it is fixed before the event is built,
// because the event contains it.
type Position struct {
	Epoch Epoch
	Seq   uint64
	Prev  Commitment // of the event before; zero for the first of the epoch
}

// Record is an event as kept.
type Record struct {
	Epoch      Epoch
	Seq        uint64
	Salt       [32]byte
	Event      []byte
	Commitment Commitment
	At         time.Time // wall clock of this computer at writing; not evidence
}

// Notice is something the journal itself has to say in a row of its own.
type Notice struct {
	Kind NoticeKind

	// EpochStarted:
	Previous     Epoch  // zero for the first epoch of this computer
	PreviousLast uint64 // the last sequence number Previous is known to have reached
	Gaps         []Gap  // confirmed and lost, over all epochs still held

	// Full:
	Refused uint64    // events refused since Since
	Since   time.Time // wall clock at the first refusal
}

// NoticeKind tells notices apart.
type NoticeKind uint8

const (
	// EpochStarted is seq 1 of each epoch.
	EpochStarted NoticeKind = iota + 1
	// Full is 記録不能: events were refused; written once, when room came back.
	Full
)

// Options are the sizes of a journal. The zero value of a field means its default.
type Options struct {
	// Notice builds the event of a row the journal writes by itself. It is
	// called like the build function of Append, and may be called again for
	// the same notice if the first attempt could not be written. Required.
	Notice func(Position, Notice) ([]byte, error)

	SegmentBytes int64         // size of a segment; default 4 MiB, at least 8 KiB
	ReserveBytes int64         // size of the reserve; default 1 MiB, at least 8 KiB
	MaxBytes     int64         // all files together; default 256 MiB
	Keep         time.Duration // how long delivered records stay at least, room permitting; default 90 days
}

const (
	minSegment = 2 * dataStart
	day        = 24 * time.Hour
)

// check fills in defaults and reports every field that is wrong.
func (o Options) check() (Options, error) {
	setDefault(&o.SegmentBytes, 4<<20)
	setDefault(&o.ReserveBytes, 1<<20)
	setDefault(&o.MaxBytes, 256<<20)
	setDefault(&o.Keep, 90*day)
	var errs []error
	if o.Notice == nil {
		errs = append(errs, errors.New("no Notice: it is required"))
	}
	if o.SegmentBytes < minSegment {
		errs = append(errs, fmt.Errorf("option SegmentBytes %d: at least %d", o.SegmentBytes, minSegment))
	}
	if o.ReserveBytes < minSegment {
		errs = append(errs, fmt.Errorf("option ReserveBytes %d: at least %d", o.ReserveBytes, minSegment))
	}
	if least := stateSize + o.ReserveBytes + 2*o.SegmentBytes; o.MaxBytes < least {
		errs = append(errs, fmt.Errorf("option MaxBytes %d: at least %d (reserve and two segments)", o.MaxBytes, least))
	}
	if o.Keep < 0 {
		errs = append(errs, fmt.Errorf("option Keep %s: not negative", o.Keep))
	}
	return o, errors.Join(errs...)
}

func setDefault[T int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Journal is an open journal. Its methods may be called from any goroutine.
type Journal struct {
	fs   disk.FS
	dir  string
	opt  Options
	lock interface{ Close() error }

	queue     chan *request
	kick      chan struct{} // one slot: something for the writer besides requests
	changed   chan struct{} // one slot: see Changed
	closing   chan struct{} // closed by Close
	stopped   chan struct{} // closed when the writer has ended
	closeOnce sync.Once
	closeErr  error // set before stopped is closed

	w writer // of the writer's goroutine alone

	// files keeps a segment from being removed while it is read: Windows
	// refuses to remove an open file. Taken before mu.
	files sync.RWMutex

	mu       sync.Mutex
	segs     []*segment       // guarded by mu; by number, the last one is written to
	acked    map[Epoch]uint64 // guarded by mu
	epoch    Epoch            // guarded by mu; the one being written
	previous Epoch            // guarded by mu
	last     uint64           // guarded by mu; last durable seq of epoch
	restart  bool             // guarded by mu; epoch must not be continued
	stateOld bool             // guarded by mu; acked has changed since the state file was written
	full     episode          // guarded by mu
	extra    int64            // guarded by mu; bytes of files that are not segments
	torn     int64            // guarded by mu; bytes cut off at Open
	gaps     []Gap            // guarded by mu; over all epochs held
}

// episode is a time during which events were refused.
type episode struct {
	refused uint64 // 0: none
	since   time.Time
	epoch   Epoch // the last record before it
	after   uint64
}

// Changed has a value whenever records have become durable, or an epoch has
// begun, since it was last received from. It has one slot: after receiving, look
// at Pending until it is exhausted.
func (j *Journal) Changed() <-chan struct{} { return j.changed }

// Close ends the journal: appends in progress return, the hub's receipts are
// remembered, the lock is released. It may be called more than once.
func (j *Journal) Close() error {
	j.closeOnce.Do(func() { close(j.closing) })
	<-j.stopped
	return j.closeErr
}

// poke puts a value into a one-slot channel.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// request is one caller of Append.
type request struct {
	class Class
	build func(Position) ([]byte, error)
	state claim
	done  chan result // one slot
}

type result struct {
	pos Position
	err error
}

// Append writes one event and returns its position once the record is durable;
// a lock may move only after that [T-40].
//
// build is called with the position on the journal's own goroutine, one call at
// a time, in the order of sequence numbers. It must not call the journal. It may
// be called more than once (a segment was full, a disk failed); the last call
// counts. Its error is returned and uses up no sequence number.
//
// ctx can take the event back until build is called; from then on Append waits
// for the disk. Errors wrap ErrFull, ErrClosed, ErrTooLarge, the error of build,
// or the disk's. After an error of the disk the record may yet turn up.
func (j *Journal) Append(ctx context.Context, class Class, build func(Position) ([]byte, error)) (Position, error) {
	if class != Normal && class != Safety {
		return Position{}, fmt.Errorf("append to the journal: unknown class %d", class)
	}
	r := &request{class: class, build: build, done: make(chan result, 1)}
	select {
	case j.queue <- r:
	case <-j.closing:
		return Position{}, ErrClosed
	case <-ctx.Done():
		return Position{}, ctx.Err()
	}
	select {
	case got := <-r.done:
		return got.pos, got.err
	case <-ctx.Done():
		if r.state.withdraw() {
			return Position{}, ctx.Err()
		}
	case <-j.stopped:
	}
	select {
	case got := <-r.done:
		return got.pos, got.err
	case <-j.stopped:
	}
	select { // the writer may have answered just before it stopped
	case got := <-r.done:
		return got.pos, got.err
	default:
		return Position{}, ErrClosed
	}
}
