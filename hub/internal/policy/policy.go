// Package policy turns what people have declared into what each device needs to
// decide alone, signs it, and sees that it arrives; orders go the same way.
//
//	people ─ City ─▶ Compile ─▶ signed head + chunks ─▶ device
//	                    ▲                                  │ policy_activated
//	             version only rises ◀──────────────────────┘
package policy

import (
	"cmp"
	"slices"

	"sekimori/internal/record"
)

// City is everything declared that devices need, as of one moment.
type City struct {
	Pack       string
	Doors      []Door
	Permits    []record.Permit // in force or yet to begin
	Cards      []Card
	Schedules  []record.Schedule
	ClosedDays []record.Date
	KeysOnLoan []record.KeyLoan
	Attempts   record.Attempts
}

// Door is a door and the device that controls it.
type Door struct {
	Device record.DeviceID
	Policy record.DoorPolicy
}

// Card is a credential with its secrets, which leave the hub only bound to one
// device: a card by its Key, or an enrolled finger by its Slot.
type Card struct {
	ID     record.CredentialID
	Person record.PersonID
	Key    string // drivers.Card.Key of the card
	Slot   uint16 // place of the template in every fingerprint module of the city
	State  record.CredentialState
	PIN    *record.PINRoot
}

// Compile is pure: the same city, device, version and key give the same policy,
// in the same order. A device gets the permits for its rooms and the tags of
// all cards, so that it can name the person it refuses; PIN verifiers only of
// people it may admit.
func Compile(c City, device record.DeviceID, version uint64, key record.CredentialKey) record.Policy {
	p := record.Policy{Device: device, Version: version, Pack: c.Pack, Attempts: c.Attempts}
	rooms, doors := map[record.RoomCode]bool{}, map[record.DoorCode]bool{}
	for _, d := range c.Doors {
		if d.Device == device {
			p.Doors = append(p.Doors, d.Policy)
			rooms[d.Policy.Room], doors[d.Policy.Door] = true, true
		}
	}
	admitted, hours := map[record.PersonID]bool{}, map[record.ScheduleID]bool{}
	for _, permit := range c.Permits {
		permit.Rooms = slices.DeleteFunc(slices.Clone(permit.Rooms), func(r record.RoomCode) bool { return !rooms[r] })
		if len(permit.Rooms) > 0 {
			p.Permits = append(p.Permits, permit)
			admitted[permit.Person], hours[permit.Schedule] = true, true
		}
	}
	for _, card := range c.Cards {
		out := record.Credential{ID: card.ID, Person: card.Person, Slot: card.Slot, State: card.State}
		if card.Slot == 0 {
			out.Tag = key.Tag(card.Key)
		}
		if card.PIN != nil && admitted[card.Person] {
			out.PIN = card.PIN.Bind(key)
		}
		p.Credentials = append(p.Credentials, out)
	}
	for _, s := range c.Schedules {
		if hours[s.ID] {
			p.Schedules = append(p.Schedules, s)
		}
	}
	for _, k := range c.KeysOnLoan {
		if doors[k.Door] {
			p.KeysOnLoan = append(p.KeysOnLoan, k)
		}
	}
	p.ClosedDays = slices.Sorted(slices.Values(c.ClosedDays))
	slices.SortFunc(p.Doors, func(a, b record.DoorPolicy) int { return cmp.Compare(a.Door, b.Door) })
	slices.SortFunc(p.Permits, comparePermits)
	slices.SortFunc(p.Credentials, func(a, b record.Credential) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(p.Schedules, func(a, b record.Schedule) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(p.KeysOnLoan, func(a, b record.KeyLoan) int { return cmp.Compare(a.Key, b.Key) })
	return p
}

func comparePermits(a, b record.Permit) int {
	return cmp.Or(cmp.Compare(a.Person, b.Person), a.From.Compare(b.From), a.Until.Compare(b.Until), slices.Compare(a.Rooms, b.Rooms))
}
