package console

import (
	"fmt"
	"time"

	"sekimori/internal/record"
)

// RoomManagers gives every act of a room to the holder of its 入退室管理者 post, or
// who acts for them on that day [000-8.1] [T-32].
type RoomManagers struct{ Directory Directory }

// May finds the room's post and asks who holds it.
func (m RoomManagers) May(person record.PersonID, act Act, room record.RoomCode, now time.Time) (Actor, error) {
	for _, r := range m.Directory.Rooms(now) {
		if r.ID != string(room) || r.Manager == "" {
			continue
		}
		post := record.PostID(r.Manager)
		if who, ok := m.Directory.ResolveAs(person, post, now); ok {
			return Actor{Who: who, Post: post}, nil
		}
	}
	return Actor{}, fmt.Errorf("%s in room %s: %w", act, room, ErrMayNot)
}
