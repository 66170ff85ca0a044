package console

import (
	"fmt"
	"strings"
	"time"

	"sekimori/internal/record"
)

// Word is a code with what people read.
type Word struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Number is a card or key number on its way to a screen: it writes itself as
// its last four characters, everywhere.
type Number string

// String masks.
func (n Number) String() string {
	r := []rune(string(n))
	if len(r) == 0 {
		return ""
	}
	if len(r) <= 4 {
		return "…" + strings.Repeat("*", len(r))
	}
	return "…" + string(r[len(r)-4:])
}

// Format and MarshalText mask too.
func (n Number) Format(f fmt.State, _ rune)   { fmt.Fprint(f, n.String()) }
func (n Number) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Stay is one row of 入退室管理簿.
type Stay struct {
	Room       record.RoomCode `json:"room"`
	RoomName   string          `json:"room_name"`
	Level      int             `json:"level"`
	Year       int             `json:"year"`              // 年度
	Number     int64           `json:"number"`            // 通番
	Entered    *time.Time      `json:"entered,omitempty"` // nil: an exit whose entry nobody saw
	Exited     *time.Time      `json:"exited,omitempty"`
	Person     record.PersonID `json:"person,omitempty"`
	Name       string          `json:"name,omitempty"`
	Section    string          `json:"section,omitempty"`
	Post       string          `json:"post,omitempty"`
	Category   string          `json:"category,omitempty"`
	Method     Word            `json:"method"`
	Credential Number          `json:"credential,omitempty"`
	Result     Word            `json:"result"`
	Reasons    []Word          `json:"reasons,omitempty"`   // 理由区分
	Notes      []string        `json:"notes,omitempty"`     // 特記事項
	Attendant  string          `json:"attendant,omitempty"` // 立会者
	Purpose    string          `json:"purpose,omitempty"`
	Open       bool            `json:"open"`        // the exit is not known
	Unsure     bool            `json:"unconfirmed"` // 退室未確認: somebody must close it
	Late       bool            `json:"late"`        // 遅延受信
	Received   time.Time       `json:"received"`
	Quality    Word            `json:"time_quality"`
	Device     record.DeviceID `json:"device,omitempty"`
	Door       record.DoorCode `json:"door,omitempty"`
	ByHand     *ByHand         `json:"by_hand,omitempty"`
	Closed     *Closing        `json:"closed,omitempty"`
	Basis      []string        `json:"basis,omitempty"` // 根拠条文
	Index      int64           `json:"index"`           // ledger row that made it
	Changed    int64           `json:"changed"`         // ledger row that last changed it
}

// ByHand is who wrote an entry, and from what.
type ByHand struct {
	By    string `json:"by"`
	After bool   `json:"after"` // 事後転記
	Paper string `json:"paper,omitempty"`
}

// Closing is how a stay without an exit was closed: the row keeps both the
// missing exit and this [T-29].
type Closing struct {
	Exited time.Time `json:"exited"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Denial is one row of 不許可・異常一覧.
type Denial struct {
	Room       record.RoomCode `json:"room"`
	RoomName   string          `json:"room_name"`
	Year       int             `json:"year"`
	Number     int64           `json:"number"`
	Series     string          `json:"series,omitempty"` // whose number it is: the room, or empty
	At         time.Time       `json:"at"`
	Until      *time.Time      `json:"until,omitempty"` // when the state ended
	Open       bool            `json:"open"`            // the state goes on
	Door       record.DoorCode `json:"door,omitempty"`
	Device     record.DeviceID `json:"device,omitempty"`
	Person     record.PersonID `json:"person,omitempty"`
	Name       string          `json:"name,omitempty"`
	Section    string          `json:"section,omitempty"`
	Method     Word            `json:"method"`
	Credential Number          `json:"credential,omitempty"`
	Kind       Word            `json:"kind"`
	Reason     Word            `json:"reason"`
	Alarm      bool            `json:"alarm"` // 警報; otherwise 記録
	Notes      []Word          `json:"notes,omitempty"`
	By         string          `json:"by,omitempty"` // who ended or caused it
	Code       record.Code     `json:"code,omitempty"`
	Detail     string          `json:"detail,omitempty"`
	Count      uint64          `json:"count,omitempty"`
	Late       bool            `json:"late"`
	Received   time.Time       `json:"received"`
	Quality    Word            `json:"time_quality"`
	Basis      []string        `json:"basis,omitempty"`
	Index      int64           `json:"index"`
	Changed    int64           `json:"changed"`
}

// RoomOccupants is who is inside one room; rooms with nobody inside are listed.
type RoomOccupants struct {
	Room   record.RoomCode `json:"room"`
	Name   string          `json:"name"`
	Level  int             `json:"level"`
	Inside []Stay          `json:"inside"` // by time of entry; with Unsure ones
}
