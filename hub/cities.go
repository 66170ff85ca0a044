package hub

import (
	"context"
	"time"

	"sekimori/hub/internal/people"
	"sekimori/hub/internal/policy"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// cities shows what people declared to the policy service.
type cities struct{ *core }

// City is everything devices need to know at now. Secrets are opened for the
// compilation and not kept.
func (c cities) City(now time.Time) (policy.City, error) {
	var secrets people.Secrets
	err := c.store.View(context.Background(), func(tx store.ReadTx) (err error) {
		secrets, err = people.ReadSecrets(tx, c.auth.Sealer())
		return err
	})
	if err != nil {
		return policy.City{}, err
	}
	d := c.people
	limits := d.Attempts(now)
	city := policy.City{
		Pack:     d.Municipality(now).Pack,
		Doors:    c.doors(now),
		Attempts: record.Attempts{Limit: limits.Limit, Within: limits.Within.D(), Lock: limits.Lock.D()},
	}
	for _, p := range d.Permits(now) {
		permit := record.Permit{Person: record.PersonID(p.Person), From: p.From.UTC(), Until: p.Until.UTC(), Schedule: record.ScheduleID(p.Schedule)}
		for _, r := range p.Rooms {
			permit.Rooms = append(permit.Rooms, record.RoomCode(r))
		}
		city.Permits = append(city.Permits, permit)
	}
	for _, item := range d.Credentials(now) {
		if card, ok := cardOf(item, secrets); ok {
			city.Cards = append(city.Cards, card)
		}
	}
	for _, s := range d.Schedules(now) {
		city.Schedules = append(city.Schedules, scheduleOf(s))
	}
	for _, day := range d.ClosedDays(now) {
		city.ClosedDays = append(city.ClosedDays, record.Date(day.Day))
	}
	for _, k := range d.KeysOnLoan(now) {
		city.KeysOnLoan = append(city.KeysOnLoan, record.KeyLoan{Key: record.CredentialID(k.Key), Door: record.DoorCode(k.Door), Person: record.PersonID(k.Person)})
	}
	return city, nil
}

func (c cities) doors(now time.Time) []policy.Door {
	var out []policy.Door
	for _, d := range c.people.Doors(now) {
		room, _ := c.people.Room(record.RoomCode(d.Room), now)
		out = append(out, policy.Door{Device: record.DeviceID(d.Controller), Policy: record.DoorPolicy{
			Door: record.DoorCode(d.ID), Room: record.RoomCode(d.Room), Level: record.SecurityLevel(room.Level),
			Second: record.SecondFactor(d.Second), SecondWindow: d.SecondWindow.D(), Release: d.Release.D(), HeldOpen: d.HeldOpen.D(),
			OfflineMaxAge: d.OfflineMaxAge.D(), UnsyncedEntry: d.UnsyncedEntry, AntiPassback: d.AntiPassback,
		}})
	}
	return out
}

// cardOf is false for a credential whose card is not known to this hub.
func cardOf(item people.CredentialItem, secrets people.Secrets) (policy.Card, bool) {
	id := record.CredentialID(item.ID)
	if item.Finger > 0 {
		return policy.Card{ID: id, Person: record.PersonID(item.Person), Slot: uint16(item.Finger), State: record.CredentialState(item.State)}, true
	}
	key, ok := secrets.Card(id)
	card := policy.Card{ID: id, Person: record.PersonID(item.Person), Key: key, State: record.CredentialState(item.State)}
	if pin, has := secrets.PIN(id); has {
		card.PIN = &pin
	}
	return card, ok
}

func scheduleOf(s people.Schedule) record.Schedule {
	out := record.Schedule{ID: record.ScheduleID(s.ID), OpenClosed: s.OpenClosed}
	for day, hours := range [7][]people.Hours{s.Sun, s.Mon, s.Tue, s.Wed, s.Thu, s.Fri, s.Sat} {
		for _, h := range hours {
			out.Weekly[day] = append(out.Weekly[day], record.Span(h))
		}
	}
	return out
}
