package people

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Directory answers who, what and where as of any instant, from memory. It is
// safe for concurrent use; Refresh after master data has changed.
type Directory struct {
	store store.Store
	book  atomic.Pointer[book]
}

// NewDirectory reads everything once.
func NewDirectory(ctx context.Context, s store.Store) (*Directory, error) {
	d := &Directory{store: s}
	return d, d.Refresh(ctx)
}

// Refresh reads everything again.
func (d *Directory) Refresh(ctx context.Context) error {
	return d.store.View(ctx, func(tx store.ReadTx) error {
		b, err := readBook(tx)
		if err == nil {
			d.book.Store(b)
		}
		return err
	})
}

// Resolve is a person as they were, for a ledger row [T-30]. It is false for a
// person who was never declared.
func (d *Directory) Resolve(person record.PersonID, at time.Time) (ledger.Resolved, bool) {
	p, ok := d.book.Load().people.ever(string(person), at)
	if !ok {
		return ledger.Resolved{Person: person}, false
	}
	return ledger.Resolved{Person: person, Name: p.Name, Section: p.Section, Post: p.Title, Category: p.Category}, true
}

// ResolveAs is a person doing something as the holder of a post, or acting for
// them; it is false where they are neither.
func (d *Directory) ResolveAs(person record.PersonID, post record.PostID, at time.Time) (ledger.Resolved, bool) {
	acting, ok := d.Holds(person, post, at)
	if !ok {
		return ledger.Resolved{Person: person}, false
	}
	who, ok := d.Resolve(person, at)
	if p, found := d.Post(post, at); found {
		who.Post = p.Name
	}
	who.Acting = acting
	return who, ok
}

// Holder is who exercises a post at an instant: who acts for it on that day in
// JST, else its holder [T-33]. It is "" where the post is vacant.
func (d *Directory) Holder(post record.PostID, at time.Time) (person record.PersonID, acting bool) {
	p, ok := d.Post(post, at)
	if !ok {
		return "", false
	}
	day := dayOf(at)
	for i, list := range [][]Tenure{p.Acting, p.Holders} {
		for _, t := range list {
			if t.covers(day) && d.serves(t.Person, at) {
				return record.PersonID(t.Person), i == 0
			}
		}
	}
	return "", false
}

// Holds tells whether a person may exercise a post at an instant, as its holder
// or acting for them. A holder keeps the post while somebody acts.
func (d *Directory) Holds(person record.PersonID, post record.PostID, at time.Time) (acting, ok bool) {
	p, found := d.Post(post, at)
	if !found || !d.serves(string(person), at) {
		return false, false
	}
	day := dayOf(at)
	for i, list := range [][]Tenure{p.Holders, p.Acting} {
		for _, t := range list {
			if t.Person == string(person) && t.covers(day) {
				return i == 1, true
			}
		}
	}
	return false, false
}

// serves tells whether a person is declared and has not left.
func (d *Directory) serves(person string, at time.Time) bool {
	p, ok := d.book.Load().people.at(person, at)
	return ok && !p.Retired
}

// PostsOf lists the posts a person may exercise at an instant.
func (d *Directory) PostsOf(person record.PersonID, at time.Time) []Post {
	var out []Post
	for _, p := range d.book.Load().posts.all(at) {
		if _, ok := d.Holds(person, record.PostID(p.ID), at); ok {
			out = append(out, p)
		}
	}
	return out
}

// What is declared under an ID at an instant.
func (d *Directory) Person(id record.PersonID, at time.Time) (Person, bool) {
	return d.book.Load().people.at(string(id), at)
}
func (d *Directory) Post(id record.PostID, at time.Time) (Post, bool) {
	return d.book.Load().posts.at(string(id), at)
}
func (d *Directory) Room(id record.RoomCode, at time.Time) (Room, bool) {
	return d.book.Load().rooms.at(string(id), at)
}
func (d *Directory) Door(id record.DoorCode, at time.Time) (Door, bool) {
	return d.book.Load().doors.at(string(id), at)
}
func (d *Directory) User(login string, at time.Time) (User, bool) {
	return d.book.Load().users.at(login, at)
}

// Municipality is whose hub this is; zero before the first import.
func (d *Directory) Municipality(at time.Time) Municipality {
	m, _ := d.book.Load().municipality.at(theOne, at)
	return m
}

// Attempts is when wrong PINs become 試行超過.
func (d *Directory) Attempts(at time.Time) Attempts {
	a, ok := d.book.Load().attempts.at(theOne, at)
	if !ok {
		a.SetDefaults()
	}
	return a
}

// Everything declared at an instant, by ID.
func (d *Directory) Sites(at time.Time) []Site           { return d.book.Load().sites.all(at) }
func (d *Directory) Rooms(at time.Time) []Room           { return d.book.Load().rooms.all(at) }
func (d *Directory) Doors(at time.Time) []Door           { return d.book.Load().doors.all(at) }
func (d *Directory) People(at time.Time) []Person        { return d.book.Load().people.all(at) }
func (d *Directory) Posts(at time.Time) []Post           { return d.book.Load().posts.all(at) }
func (d *Directory) Schedules(at time.Time) []Schedule   { return d.book.Load().schedules.all(at) }
func (d *Directory) ClosedDays(at time.Time) []ClosedDay { return d.book.Load().closed.all(at) }
func (d *Directory) Users(at time.Time) []User           { return d.book.Load().users.all(at) }
func (d *Directory) KeysOnLoan(at time.Time) []KeyLoan   { return d.book.Load().loans.all(at) }

// Permits lists the permits of people who have not left [T-30].
func (d *Directory) Permits(at time.Time) []Permit {
	return slices.DeleteFunc(d.book.Load().permits.all(at), func(p Permit) bool { return !d.serves(p.Person, at) })
}

// Credentials lists cards with their state; those of people who have left are
// revoked, whatever was declared of the card [T-30].
func (d *Directory) Credentials(at time.Time) []CredentialItem {
	all := d.book.Load().credentials.all(at)
	for i, c := range all {
		if c.State == string(record.CredentialActive) && !d.serves(c.Person, at) {
			all[i].State = string(record.CredentialRevoked)
		}
	}
	return all
}
