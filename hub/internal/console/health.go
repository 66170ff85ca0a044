package console

import (
	"encoding/json"
	"fmt"
	"time"

	"sekimori/hub/internal/people"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// mark is a state for eyes: a shape, a word and a class that colours them, so
// that none of the three is needed alone [T-49].
type mark struct {
	Class string `json:"state"` // ok, warn, alarm, unknown, off
	Text  string `json:"text"`
}

// shapes of the classes.
var shapes = map[string]string{"ok": "●", "warn": "◆", "alarm": "▲", "unknown": "？", "off": "■"}

// Shape is drawn before the word.
func (m mark) Shape() string { return shapes[m.Class] }

// deviceHealth is what is known of a controller at a moment. What it said of
// itself counts only while it is fresh: a silent device is never 正常.
type deviceHealth struct {
	Device   record.DeviceID `json:"device"`
	State    mark            `json:"state"`
	Seen     time.Time       `json:"seen,omitzero"` // last status
	Fresh    bool            `json:"fresh"`
	Clock    mark            `json:"clock"`
	Journal  int             `json:"journal_use"` // percent of its bound
	Full     bool            `json:"journal_filling"`
	Readers  []readerHealth  `json:"readers,omitempty"`
	Behind   bool            `json:"policy_not_delivered"` // the newest permits and revocations are not confirmed
	Since    time.Time       `json:"behind_since,omitzero"`
	Doors    []string        `json:"doors,omitempty"`
	Version  string          `json:"version,omitempty"`
	doorSaid map[record.DoorCode]string
}

// readerHealth is one reader.
type readerHealth struct {
	Reader record.ReaderID `json:"reader"`
	State  mark            `json:"state"`
}

// journalWarns is when a journal's use is said [percent].
const journalWarns = 80

// judge reads a device's newest status at now.
func judge(d store.DeviceState, doors []people.Door, now time.Time, presence time.Duration) deviceHealth {
	h := deviceHealth{Device: d.Device, Seen: d.SeenAt, State: mark{"unknown", "不明（まだ通信なし）"}, Clock: mark{"unknown", "不明"},
		doorSaid: map[record.DoorCode]string{}}
	for _, door := range doors {
		if door.Controller == string(d.Device) {
			h.Doors = append(h.Doors, door.ID)
		}
	}
	var s record.Status
	known := len(d.Status) > 0 && json.Unmarshal(d.Status, &s) == nil
	// A status from the future says nothing about now either.
	h.Fresh = known && now.Sub(d.SeenAt).Abs() <= presence
	if h.Behind = d.Policy > d.PolicyAck; h.Behind {
		h.Since = d.SeenAt
	}
	if !known {
		return h
	}
	h.Journal, h.Full, h.Version = s.JournalUse, s.JournalUse >= journalWarns, s.Version
	trouble := h.Full
	for _, r := range s.Readers {
		m := mark{"ok", "正常"}
		switch {
		case !h.Fresh:
			m = mark{"unknown", "不明"}
		case r.Tamper:
			m, trouble = mark{"alarm", "改ざん検知"}, true
		case !r.Online:
			m, trouble = mark{"alarm", "不通"}, true
		}
		h.Readers = append(h.Readers, readerHealth{r.Reader, m})
	}
	for _, door := range s.Doors {
		h.doorSaid[door.Door] = door.State
	}
	if !h.Fresh {
		h.State = mark{"alarm", "不通"}
		return h
	}
	h.Clock = mark{"ok", register.QualityLabel(s.Quality)}
	if s.Quality != record.TimeSynced {
		h.Clock.Class, trouble = "warn", true
	}
	h.State = mark{"ok", "正常"}
	if trouble {
		h.State = mark{"warn", "要確認"}
	}
	return h
}

// doorWords are what controllers call their doors' states.
var doorWords = map[string]mark{
	"locked":            {"ok", "施錠"},
	"unlocked":          {"ok", "解錠中"},
	"open":              {"ok", "開"},
	"held_open":         {"warn", "開放放置"},
	"forced":            {"alarm", "強制開扉"},
	"released":          {"alarm", "火災解錠中"},
	"closed_by_manager": {"off", "閉室"},
}

// door is a door's state as its controller says it.
func (h deviceHealth) door(code record.DoorCode) (said string, m mark) {
	said = h.doorSaid[code]
	m, ok := doorWords[said]
	if !ok {
		return "", mark{"unknown", "不明"}
	}
	if !h.Fresh {
		return "", mark{"unknown", fmt.Sprintf("不明（最後は%s）", m.Text)}
	}
	return said, m
}
