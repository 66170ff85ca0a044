package pn532

import (
	"errors"
	"fmt"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/pn532/ev2"
)

// goneAfter is how long a card must not have been seen to have gone: one at the
// edge of the field is heard now and then.
const goneAfter = 400 * time.Millisecond

// missesToSwap is how many whole looks must have missed a card before another
// one counts, so that two cards in one purse do not take turns.
const missesToSwap = 1

// maxAttempts is how often a card may be taken away in the middle of its proof
// and come back, within one presentation.
const maxAttempts = 3

// held is the card of the presentation that is under way.
//
//	none ── seen ─▶ asked ── proved, or not asked ─▶ told ── not seen 400 ms ─▶ none
//	                  │                                ▲
//	                  └── refused, or torn away 3 times ┘
type held struct {
	here     bool
	told     bool // its one reading has been given
	target   Target
	seen     time.Duration // when it was last listed
	misses   int           // whole looks that did not see it since
	attempts int           // to prove itself, that were torn off
	key      ev2.Key
	first    []byte // its answer to the first authentication command
	hand     ev2.Handshake
	session  ev2.Session
}

// listed takes the answer to a listing.
func (l *Link) listed(e *Effects, data []byte, now time.Duration) {
	l.stumbles = 0
	if !l.health.Online {
		l.health.Online, l.health.Detail = true, ""
	}
	target, ok, err := ParseTarget(l.cfg.Listen[l.listen], data)
	switch {
	case err != nil:
		l.health.Noise++
		l.health.Detail = err.Error()
	case !ok:
	case l.card.here && l.card.target.same(target):
		l.card.target, l.card.seen, l.card.misses = target, now, 0
		l.ask(e, now)
		return
	case l.card.here && l.card.misses < missesToSwap:
	default:
		l.forget(e, now)
		l.card = held{here: true, target: target, seen: now}
		l.ask(e, now)
		return
	}
	if l.listen++; l.listen < len(l.cfg.Listen) {
		l.then(actList, now)
		return
	}
	l.card.misses++
	if l.card.here && now-l.card.seen >= goneAfter {
		l.forget(e, now)
	}
	l.rest(now)
}

// rest waits for the next look. A card that was listed, or may have been while
// the answer was lost, must first lose its power, or it would not answer again.
func (l *Link) rest(now time.Duration) {
	l.listen = 0
	if l.card.here || l.stale {
		l.then(actRelease, now+l.cfg.Poll)
		return
	}
	l.then(actList, now+l.cfg.Poll)
}

// forget ends a presentation. One that has not been told is refused: nobody
// comes to a reader without a trace.
func (l *Link) forget(e *Effects, now time.Duration) {
	if l.card.here && !l.card.told {
		l.unproven(e, now)
	}
	l.card = held{}
}

// ask begins the proof, or tells the card at once where none is to be had.
func (l *Link) ask(e *Effects, now time.Duration) {
	p := l.cfg.Proof
	switch {
	case l.card.told:
		l.rest(now)
		return
	case p.Key.IsZero():
		l.unproven(e, now)
		return
	}
	key, err := p.keyOf(l.card.target)
	if err != nil {
		l.unproven(e, now)
		return
	}
	l.card.key = key
	l.then(actSelect, now)
}

// keyOf is the key this card ought to hold.
func (p Proof) keyOf(t Target) (ev2.Key, error) {
	switch {
	case !t.ISODEP:
		return ev2.Key{}, errors.New("the card takes no commands")
	case p.Undiversified:
		return p.Key, nil
	case t.random():
		return ev2.Key{}, errors.New("the card makes up its number, so its key cannot be known")
	}
	return ev2.Diversify(p.Key, append(t.Number[:len(t.Number):len(t.Number)], p.System...))
}

// command is what the card is told next.
func (h *held) command(p Proof, a act, random [16]byte) (b []byte, err error) {
	switch a {
	case actSelect:
		return ev2.SelectCommand(p.application())
	case actFirst:
		return ev2.FirstCommand(p.KeyNumber), nil
	case actSecond:
		h.hand, b, err = ev2.Challenge(h.key, h.first, random)
		return b, err
	default:
		return h.session.UIDCommand(), nil
	}
}

// cardSaid takes the answer to one of those.
func (l *Link) cardSaid(e *Effects, a act, data []byte, now time.Duration) {
	answer, err := exchanged(data)
	if err != nil {
		l.health.Detail = err.Error()
		l.torn(e, now)
		return
	}
	var number []byte
	switch a {
	case actSelect:
		err = selected(answer)
	case actFirst:
		l.card.first = answer
	case actSecond:
		l.card.session, err = l.card.hand.Finish(answer)
	default:
		number, err = l.card.session.UID(answer)
	}
	switch {
	case err != nil:
		l.unproven(e, now)
	case a == actUID:
		l.proven(e, number, now)
	default:
		l.then(a+1, now)
	}
}

// selected checks the answer to a selection, which ISO and native commands
// spell differently.
func selected(answer []byte) error {
	_, status, err := ev2.Open(answer)
	if err == nil && status != ev2.StatusOK && status != ev2.StatusISO {
		err = fmt.Errorf("%w: status %04X to the selection", ev2.ErrRefused, status)
	}
	return err
}

// torn is a card that was not heard in the middle of its proof. It may still be
// there: the next look tells.
func (l *Link) torn(e *Effects, now time.Duration) {
	if l.card.attempts++; l.card.attempts >= maxAttempts {
		l.unproven(e, now)
		return
	}
	l.then(actRelease, now+settle)
}

// proven tells a card that has shown its key and, under it, its number. A card
// that first said another one is none of ours.
func (l *Link) proven(e *Effects, number []byte, now time.Duration) {
	if !l.card.target.random() && string(number) != string(l.card.target.Number) {
		l.unproven(e, now)
		return
	}
	l.tell(e, number, drivers.ProofCryptographic, now)
}

// unproven tells a card that has shown nothing but a number.
func (l *Link) unproven(e *Effects, now time.Duration) {
	l.tell(e, l.card.target.Number, drivers.ProofUIDOnly, now)
}

func (l *Link) tell(e *Effects, number []byte, proof drivers.Proof, now time.Duration) {
	l.card.told = true
	l.rest(now)
	card, err := l.cfg.Form.Of(number)
	if err != nil {
		l.health.Noise++
		l.health.Detail = err.Error()
		return
	}
	reading := drivers.Reading{Reader: l.cfg.Reader, Proof: proof, Card: card}
	if l.cfg.Proof.Demand == drivers.ProofCryptographic && proof != drivers.ProofCryptographic {
		reading.Card, reading.Claim = drivers.Card{}, card // [T-22]
	}
	e.Readings = append(e.Readings, reading)
}
