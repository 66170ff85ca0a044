package people

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Appender writes facts to the ledger within a transaction, and signs it.
type Appender interface {
	Append(tx store.Tx, facts []ledger.Fact) (first int64, err error)
	Seal(tx store.Tx) (note []byte, cp record.Checkpoint, err error)
}

// Registry writes master data and secrets.
type Registry struct {
	store   store.Store
	ledger  Appender
	seal    Sealer
	dir     *Directory
	changed func()
}

// NewRegistry joins memory, ledger and the sealing key. After each change the
// directory is refreshed and changed is called.
func NewRegistry(s store.Store, l Appender, seal Sealer, d *Directory, changed func()) *Registry {
	return &Registry{store: s, ledger: l, seal: seal, dir: d, changed: changed}
}

// Options of an import.
type Options struct {
	By    record.PersonID // who imports; must be in the file or known already
	Via   string          // "import", "console"
	Prune bool            // items that are not in the file end
}

// Report tells what an import did.
type Report struct {
	Added, Changed, Ended, Unchanged int
	NotInFile                        []string  // "permit K8-01", still in force because Prune was not asked for
	Warnings                         []Warning // lawful, worth a look
}

// ErrWho means that an import names nobody, or somebody unknown.
var ErrWho = errors.New("an import is done by a named person who is in the file or known already")

// UnboundError lists cards that would be lent without a permit in force [000-9.2].
type UnboundError struct{ Credentials []string }

func (e *UnboundError) Error() string {
	return "no permit in force: a card is not lent without one: " + strings.Join(e.Credentials, ", ")
}

// JA is the sentence for people.
func (e *UnboundError) JA() string {
	return "有効な入室許可のない人にカードは貸与できません。先に許可を登録してください: " + strings.Join(e.Credentials, "、")
}

// Import makes a city's file the present state. Only what differs becomes a new
// version and a fact; importing the same file again does nothing. New items
// hold from c.Effective, changed ones from then or now, whichever is later: a
// declaration never changes what was so yesterday [T-33].
func (r *Registry) Import(ctx context.Context, c City, o Options) (Report, error) {
	w := &importing{Registry: r, city: c, opts: o, now: clock.Now().UTC()}
	if err := w.prepare(ctx); err != nil {
		return Report{}, fmt.Errorf("import: %w", err)
	}
	err := r.store.Update(ctx, w.commit)
	if err != nil {
		return Report{}, fmt.Errorf("import: %w", err)
	}
	w.report.Warnings = c.Warnings()
	if err := r.dir.Refresh(ctx); err != nil {
		return w.report, fmt.Errorf("import: %w", err)
	}
	if w.report.Added+w.report.Changed+w.report.Ended > 0 {
		r.changed()
	}
	return w.report, nil
}

// importing is one import in progress.
type importing struct {
	*Registry
	city  City
	opts  Options
	now   time.Time
	actor ledger.Resolved
	items []item
	cards map[string]secret
	pins  map[string]secret

	report Report // this and below: of the newest try of the transaction
	held   map[string]*holding
	inFile map[string]bool // kind and ID
	puts   []store.MasterItem
}

// holding is every version held of one kind.
type holding struct {
	ids      []string
	versions map[string][]store.MasterItem // oldest first
}

// prepare does the slow part, stretching PINs, before the only writer is held.
func (w *importing) prepare(ctx context.Context) error {
	if err := w.identify(); err != nil {
		return err
	}
	var err error
	if w.items, err = w.city.items(); err != nil {
		return err
	}
	var held Secrets
	if err := w.store.View(ctx, func(tx store.ReadTx) error {
		held, err = ReadSecrets(tx, w.seal)
		return err
	}); err != nil {
		return err
	}
	w.cards, w.pins = map[string]secret{}, map[string]secret{}
	for _, c := range w.city.Credentials {
		salt := make([]byte, 16)
		rand.Read(salt)
		if w.cards[c.ID], err = cardSecret(held, c); err != nil {
			return fmt.Errorf("credential %s: %w", c.ID, err)
		}
		if w.pins[c.ID], err = pinSecret(held, c, salt); err != nil {
			return fmt.Errorf("credential %s: %w", c.ID, err)
		}
	}
	return nil
}

// identify finds who imports. The first import of all declares its own author.
func (w *importing) identify() error {
	if who, ok := w.dir.Resolve(w.opts.By, w.now); ok {
		w.actor = who
		return nil
	}
	for _, p := range w.city.People {
		if p.ID == string(w.opts.By) && p.ID != "" {
			w.actor = ledger.Resolved{Person: w.opts.By, Name: p.Name, Section: p.Section, Post: p.Title, Category: p.Category}
			return nil
		}
	}
	return fmt.Errorf("%q: %w", w.opts.By, ErrWho)
}

// commit compares and writes; it may run more than once.
func (w *importing) commit(tx store.Tx) error {
	w.report, w.held, w.inFile, w.puts = Report{}, map[string]*holding{}, map[string]bool{}, nil
	for _, i := range w.items {
		if err := w.declare(tx, i); err != nil {
			return err
		}
	}
	if err := w.credentials(tx); err != nil {
		return err
	}
	if err := w.absent(tx); err != nil {
		return err
	}
	if err := w.passwords(tx); err != nil {
		return err
	}
	return w.write(tx)
}

// declare queues a new version of an item that differs from the one in force.
func (w *importing) declare(tx store.Tx, i item) error {
	w.inFile[i.kind+" "+i.id] = true
	held, err := w.holding(tx, i.kind)
	if err != nil {
		return err
	}
	versions := held.versions[i.id]
	from := w.from(len(versions) == 0)
	var present store.MasterItem
	for _, v := range versions {
		if !v.From.After(from) {
			present = v
		}
	}
	switch {
	case present.Kind != "" && !present.Deleted && bytes.Equal(present.Data, i.data):
		w.report.Unchanged++
		return nil
	case len(versions) == 0:
		w.report.Added++
	default:
		w.report.Changed++
	}
	w.puts = append(w.puts, store.MasterItem{Kind: i.kind, ID: i.id, From: from, Data: i.data})
	return nil
}

// from is when a version begins.
func (w *importing) from(isNew bool) time.Time {
	effective := w.city.Effective.Time
	if effective.IsZero() || !isNew && effective.Before(w.now) {
		return w.now
	}
	return effective.UTC()
}

// holding reads a kind once per transaction.
func (w *importing) holding(tx store.MasterReader, kind string) (*holding, error) {
	if h, ok := w.held[kind]; ok {
		return h, nil
	}
	all, err := tx.MasterAll(kind)
	if err != nil {
		return nil, err
	}
	h := &holding{versions: map[string][]store.MasterItem{}}
	for _, m := range all {
		if len(h.versions[m.ID]) == 0 {
			h.ids = append(h.ids, m.ID)
		}
		h.versions[m.ID] = append(h.versions[m.ID], m)
	}
	w.held[kind] = h
	return h, nil
}

// credentials declares cards with the revision of what is sealed.
func (w *importing) credentials(tx store.Tx) error {
	var unbound []string
	for _, c := range w.city.Credentials {
		next := CredentialItem{ID: c.ID, Person: c.Person, State: c.State, Finger: c.Finger}
		before, known, err := w.credentialNow(tx, c.ID)
		if err != nil {
			return err
		}
		next.CardRev, next.PINRev = before.CardRev, before.PINRev
		if w.cards[c.ID].changed {
			next.CardRev++
		}
		if w.pins[c.ID].changed {
			next.PINRev++
		}
		bound := known && before.Person == c.Person && before.State == string(record.CredentialActive)
		if c.State == string(record.CredentialActive) && !bound && !w.permitted(c.Person, w.from(!known)) {
			unbound = append(unbound, c.ID+" ("+c.Person+")")
		}
		data, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if err := w.declare(tx, item{KindCredential, c.ID, data}); err != nil {
			return err
		}
		if err := w.sealed(tx, c.ID); err != nil {
			return err
		}
	}
	if len(unbound) > 0 {
		return &UnboundError{unbound}
	}
	return nil
}

func (w *importing) credentialNow(tx store.Tx, id string) (c CredentialItem, known bool, err error) {
	held, err := w.holding(tx, KindCredential)
	if err != nil || len(held.versions[id]) == 0 {
		return c, false, err
	}
	last := held.versions[id][len(held.versions[id])-1]
	return c, !last.Deleted, json.Unmarshal(last.Data, &c)
}

// permitted tells whether the file gives a person a permit that has not ended
// when the card begins to be theirs.
func (w *importing) permitted(person string, from time.Time) bool {
	for _, p := range w.city.Permits {
		if p.Person == person && p.Until.After(from) {
			return true
		}
	}
	return false
}

func (w *importing) sealed(tx store.Tx, id string) error {
	for prefix, s := range map[string]secret{cardPrefix: w.cards[id], pinPrefix: w.pins[id]} {
		if !s.changed {
			continue
		}
		if err := tx.PutState(prefix+id, w.seal.Seal(prefix+id, s.value)); err != nil {
			return err
		}
	}
	return nil
}

// absent ends, or lists, what is in force and not in the file.
func (w *importing) absent(tx store.Tx) error {
	for _, kind := range []string{KindSite, KindRoom, KindDoor, KindPerson, KindPost, KindSchedule, KindClosedDay, KindPermit, KindCredential, KindUser, KindKeyLoan} {
		held, err := w.holding(tx, kind)
		if err != nil {
			return err
		}
		for _, id := range held.ids {
			m := held.versions[id][len(held.versions[id])-1]
			switch {
			case m.Deleted || w.inFile[kind+" "+id]:
			case w.opts.Prune:
				w.report.Ended++
				w.puts = append(w.puts, store.MasterItem{Kind: kind, ID: id, From: w.from(false), Deleted: true, Data: m.Data})
			default:
				w.report.NotInFile = append(w.report.NotInFile, kind+" "+id)
			}
		}
	}
	return nil
}

// passwords seals the hashes that are in the file; others stay.
func (w *importing) passwords(tx store.Tx) error {
	for _, u := range w.city.Users {
		if u.PasswordHash == "" {
			continue
		}
		if err := tx.PutState(passwordPrefix+u.ID, w.seal.Seal(passwordPrefix+u.ID, []byte(u.PasswordHash))); err != nil {
			return err
		}
	}
	return nil
}

// write makes the versions and their facts durable together.
func (w *importing) write(tx store.Tx) error {
	return declareAll(tx, w.ledger, w.puts, w.actor, w.opts.Via, w.now)
}

// declareAll appends one fact per version and stores the versions with the
// index of their facts.
func declareAll(tx store.Tx, l Appender, puts []store.MasterItem, actor ledger.Resolved, via string, now time.Time) error {
	if len(puts) == 0 {
		return nil
	}
	size, err := tx.Size()
	if err != nil {
		return err
	}
	facts := make([]ledger.Fact, len(puts))
	for i := range puts {
		puts[i].Index = size + int64(i)
		body, err := json.Marshal(puts[i])
		if err != nil {
			return err
		}
		facts[i].Row = ledger.Row{Kind: ledger.KindMasterDeclared, At: now, Received: now, Quality: record.TimeSynced,
			Actor: &actor, Via: via, Basis: basis(puts[i].Kind), Body: body}
	}
	first, err := l.Append(tx, facts)
	if err != nil {
		return err
	}
	if first != size {
		return fmt.Errorf("the ledger appended at %d, not at its size %d", first, size)
	}
	for _, m := range puts {
		if err := tx.PutMaster(m); err != nil {
			return err
		}
	}
	_, _, err = l.Seal(tx)
	return err
}
