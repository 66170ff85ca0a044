package people

import (
	"encoding/json"
	"fmt"
	"time"

	"sekimori/hub/internal/store"
)

// Kinds of items, as store.MasterItem.Kind.
const (
	KindMunicipality = "municipality"
	KindSite         = "site"
	KindRoom         = "room"
	KindDoor         = "door"
	KindPerson       = "person"
	KindPost         = "post"
	KindSchedule     = "schedule"
	KindClosedDay    = "closed_day"
	KindPermit       = "permit"
	KindCredential   = "credential"
	KindUser         = "user"
	KindKeyLoan      = "key_on_loan"
	KindAttempts     = "attempts"
)

// theOne is the ID of kinds of which there is one item.
const theOne = "-"

// edition is one version of an item, decoded.
type edition[T any] struct {
	from    time.Time
	deleted bool
	value   T
}

// shelf holds every version of every item of a kind, by ID then time.
type shelf[T any] struct {
	ids      []string
	editions map[string][]edition[T]
}

func load[T any](tx store.MasterReader, kind string) (shelf[T], error) {
	s := shelf[T]{editions: map[string][]edition[T]{}}
	items, err := tx.MasterAll(kind)
	if err != nil {
		return s, err
	}
	for _, m := range items {
		e := edition[T]{from: m.From, deleted: m.Deleted}
		if err := json.Unmarshal(m.Data, &e.value); err != nil {
			return s, fmt.Errorf("%s %s of %s: %w", kind, m.ID, m.From.Format(time.RFC3339), err)
		}
		if len(s.editions[m.ID]) == 0 {
			s.ids = append(s.ids, m.ID)
		}
		s.editions[m.ID] = append(s.editions[m.ID], e)
	}
	return s, nil
}

// at is an item as it was.
func (s shelf[T]) at(id string, t time.Time) (value T, ok bool) {
	for _, e := range s.editions[id] {
		if e.from.After(t) {
			break
		}
		value, ok = e.value, !e.deleted
	}
	return value, ok
}

// ever is an item as it was, or as it was last known before it was deleted, or
// as it was first declared: a name must not be lost to a clock that is a little
// behind, or to somebody having left.
func (s shelf[T]) ever(id string, t time.Time) (value T, ok bool) {
	for i, e := range s.editions[id] {
		if i > 0 && e.from.After(t) {
			break
		}
		if !e.deleted || !ok {
			value, ok = e.value, true
		}
	}
	return value, ok
}

// all lists every item as it was, by ID.
func (s shelf[T]) all(t time.Time) []T {
	var out []T
	for _, id := range s.ids {
		if v, ok := s.at(id, t); ok {
			out = append(out, v)
		}
	}
	return out
}

// book is the whole master data with its history. It is never changed.
type book struct {
	municipality shelf[Municipality]
	sites        shelf[Site]
	rooms        shelf[Room]
	doors        shelf[Door]
	people       shelf[Person]
	posts        shelf[Post]
	schedules    shelf[Schedule]
	closed       shelf[ClosedDay]
	permits      shelf[Permit]
	credentials  shelf[CredentialItem]
	users        shelf[User]
	loans        shelf[KeyLoan]
	attempts     shelf[Attempts]
}

func readBook(tx store.MasterReader) (*book, error) {
	b := &book{}
	var err error
	take := func(f func() error) {
		if err == nil {
			err = f()
		}
	}
	take(func() (e error) { b.municipality, e = load[Municipality](tx, KindMunicipality); return })
	take(func() (e error) { b.sites, e = load[Site](tx, KindSite); return })
	take(func() (e error) { b.rooms, e = load[Room](tx, KindRoom); return })
	take(func() (e error) { b.doors, e = load[Door](tx, KindDoor); return })
	take(func() (e error) { b.people, e = load[Person](tx, KindPerson); return })
	take(func() (e error) { b.posts, e = load[Post](tx, KindPost); return })
	take(func() (e error) { b.schedules, e = load[Schedule](tx, KindSchedule); return })
	take(func() (e error) { b.closed, e = load[ClosedDay](tx, KindClosedDay); return })
	take(func() (e error) { b.permits, e = load[Permit](tx, KindPermit); return })
	take(func() (e error) { b.credentials, e = load[CredentialItem](tx, KindCredential); return })
	take(func() (e error) { b.users, e = load[User](tx, KindUser); return })
	take(func() (e error) { b.loans, e = load[KeyLoan](tx, KindKeyLoan); return })
	take(func() (e error) { b.attempts, e = load[Attempts](tx, KindAttempts); return })
	if err != nil {
		return nil, fmt.Errorf("read master data: %w", err)
	}
	return b, nil
}

// CredentialItem is a credential as the ledger and the console may know it:
// revisions tell that card or PIN changed, not what they are.
type CredentialItem struct {
	ID      string `json:"id"`
	Person  string `json:"person"`
	State   string `json:"state"`
	Finger  int    `json:"finger,omitempty"`  // slot of the template; 0 for a card
	CardRev int    `json:"card_rev"`          // 0 for a finger
	PINRev  int    `json:"pin_rev,omitempty"` // 0: none
}

// item is one declared thing on its way into the store.
type item struct {
	kind, id string
	data     json.RawMessage
}

// items lists a city as items. Credentials are not among them: their revisions
// depend on what is sealed already.
func (c *City) items() ([]item, error) {
	var out []item
	var err error
	add := func(kind, id string, v any) {
		data, e := json.Marshal(v)
		if e != nil && err == nil {
			err = fmt.Errorf("encode %s %s: %w", kind, id, e)
		}
		out = append(out, item{kind, id, data})
	}
	add(KindMunicipality, theOne, c.Municipality)
	add(KindAttempts, theOne, c.Attempts)
	for _, x := range c.Sites {
		add(KindSite, x.ID, x)
	}
	for _, x := range c.People {
		add(KindPerson, x.ID, x)
	}
	for _, x := range c.Posts {
		add(KindPost, x.ID, x)
	}
	for _, x := range c.Rooms {
		add(KindRoom, x.ID, x)
	}
	for _, x := range c.Doors {
		add(KindDoor, x.ID, x)
	}
	for _, x := range c.Schedules {
		add(KindSchedule, x.ID, x)
	}
	for _, x := range c.ClosedDays {
		add(KindClosedDay, string(x.Day), x)
	}
	for _, x := range c.Permits {
		add(KindPermit, x.ID, x)
	}
	for _, x := range c.Users {
		add(KindUser, x.ID, x)
	}
	for _, x := range c.KeysOnLoan {
		add(KindKeyLoan, x.Key, x)
	}
	return out, err
}

// basis cites what a kind of item is kept for; it goes on the fact.
func basis(kind string) []string {
	switch kind {
	case KindPost:
		return []string{"000-2", "000-3", "000-4"}
	case KindRoom, KindDoor:
		return []string{"000-7.1", "000-8.1"}
	case KindPermit:
		return []string{"000-9.2"}
	case KindCredential, KindKeyLoan:
		return []string{"000-9.1", "000-10.2"}
	case KindUser:
		return []string{"002-23(3)ウ"}
	}
	return []string{"000-7.1"}
}
