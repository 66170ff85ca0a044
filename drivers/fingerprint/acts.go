package fingerprint

import (
	"context"
	"errors"
	"slices"
	"sync"

	"sekimori/drivers"
)

// Enrol makes a template of a finger, from two touches, and stores it at slot, 1
// to capacity-1. progress, which may be nil, is called from this goroutine with
// each step for the person to take. The slot must be empty and the finger not
// enrolled elsewhere: one finger at two slots would be two persons. The template
// is there when Enrol returns nil: it was counted and loaded again. After
// ErrStorage or ErrInterrupted one may be there all the same; Delete makes sure.
//
// Errors: ErrSlotTaken, ErrNoSuchSlot, ErrFull, ErrNobody, ErrUnreadable,
// ErrTouchesDiffer, *AlreadyEnrolledError, ErrStorage, ErrInterrupted, ErrOffline,
// ErrRefused, ErrNotRunning, *ModuleError, or ctx's.
func (r *Reader) Enrol(ctx context.Context, slot uint16, progress func(Step)) error {
	return r.do(ctx, task{begin: enrolAct(slot)}, progress).err
}

// Delete deletes the template at slot and makes sure: afterwards the module must
// fail to load it, count one template less and, where it keeps an index, show
// none there; otherwise ErrStillThere. A slot that is empty already is a success
// [T-23].
func (r *Reader) Delete(ctx context.Context, slot uint16) error {
	return r.do(ctx, task{begin: deleteAct(slot)}, nil).err
}

// Wipe deletes all templates and makes sure: the module must count none and,
// where it keeps an index, show none; otherwise ErrStillThere [T-23].
func (r *Reader) Wipe(ctx context.Context) error {
	return r.do(ctx, task{begin: wipeAct}, nil).err
}

// Count is the number of templates in the module.
func (r *Reader) Count(ctx context.Context) (int, error) {
	out := r.do(ctx, task{begin: countAct}, nil)
	return out.number, out.err
}

// Slots are the slots that hold a template, in order. A module without an index
// is asked about each slot, which may take a minute, and no finger is looked for
// meanwhile.
func (r *Reader) Slots(ctx context.Context) ([]uint16, error) {
	out := r.do(ctx, task{begin: slotsAct}, nil)
	return out.slots, out.err
}

// Verify compares one touch with the template at slot alone (1:1), so that a
// keeper can see that an enrolment works. Errors: ErrDifferentFinger,
// ErrSlotEmpty, and those of Enrol.
func (r *Reader) Verify(ctx context.Context, slot uint16, progress func(Step)) (drivers.Finger, error) {
	out := r.do(ctx, task{begin: verifyAct(slot)}, progress)
	return out.finger, out.err
}

// Commission binds a module as it comes from its maker to this host: password, 32
// random bits that the caller has already stored, becomes the module's, and the
// reader's own from then on. It is the only act that uses the factory's password,
// once to open the module and once to see it refused [T-23].
//
// Templates a module brings along are nobody's: they are wiped first, and
// Commission returns how many. A module that knows password already is bound
// already and keeps its templates, so a commissioning that was cut short can be
// repeated. Errors: ErrForeign, ErrNotKept, ErrStillThere, ErrOffline,
// *ModuleError, ErrNotRunning, or ctx's.
func (r *Reader) Commission(ctx context.Context, password Password) (wiped int, err error) {
	if password == factory {
		return 0, errors.New("fingerprint: the factory's password binds nothing")
	}
	out := r.do(ctx, task{begin: commissionAct(password), bind: &password}, nil)
	return out.number, out.err
}

// task is what an act is to the link: how it begins, and for a commissioning the
// password it leaves behind.
type task struct {
	begin func(facts) move
	bind  *Password
}

// outcome is how an act ended.
type outcome struct {
	err    error
	number int
	slots  []uint16
	finger drivers.Finger
}

// job is a task on its way from a caller to the talker and back.
type job struct {
	ctx  context.Context
	task task
	stir chan struct{} // one slot: steps has grown
	done chan outcome  // one slot

	mu    sync.Mutex
	steps []Step // guarded by mu: not yet told to the caller
}

func (j *job) tell(s Step) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps = append(j.steps, s)
	select {
	case j.stir <- struct{}{}:
	default:
	}
}

func (j *job) takeSteps() []Step {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.steps
	j.steps = nil
	return s
}

func (j *job) end(o outcome) { j.done <- o }

// do hands t to the talker and waits for its end.
func (r *Reader) do(ctx context.Context, t task, progress func(Step)) outcome {
	if err := ctx.Err(); err != nil {
		return outcome{err: err}
	}
	j := &job{ctx: ctx, task: t, stir: make(chan struct{}, 1), done: make(chan outcome, 1)}
	r.mu.Lock()
	if !r.running {
		r.mu.Unlock()
		return outcome{err: ErrNotRunning}
	}
	r.jobs = append(r.jobs, j)
	r.mu.Unlock()
	r.nudge()
	tell := func() {
		for _, s := range j.takeSteps() {
			if progress != nil {
				progress(s)
			}
		}
	}
	cancelled := ctx.Done()
	for {
		select {
		case <-j.stir:
			tell()
		case out := <-j.done:
			tell()
			return out
		case <-cancelled:
			cancelled = nil // a job the talker has taken ends itself
			if r.withdraw(j) {
				return outcome{err: ctx.Err()}
			}
		}
	}
}

// withdraw takes back a job that the talker has not taken.
func (r *Reader) withdraw(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.jobs, j)
	if i >= 0 {
		r.jobs = slices.Delete(r.jobs, i, i+1)
	}
	return i >= 0
}
