package record

import (
	"encoding/json"
	"time"
)

// Purpose is the one thing an order is for.
type Purpose string

const (
	PurposeRearm      Purpose = "rearm"       // after a fire release; Body DoorOrder
	PurposeCloseRoom  Purpose = "close_room"  // 閉室; Body DoorOrder
	PurposeReopenRoom Purpose = "reopen_room" // Body DoorOrder
	PurposeClockStep  Purpose = "clock_step"  // a step beyond the bound; Body ClockOrder
	PurposeFullStop   Purpose = "full_stop"   // 完全停止; Body StopOrder
	PurposeResume     Purpose = "resume"      // 運用再開; Body StopOrder
)

// Order is signed by an order key, which is not the policy key and which two
// persons unlock. Seq rises per device and is never used twice. What it orders
// stays in force until superseded; Deliver only ends its delivery: a device
// that gets it later asks for the present state instead [T-07].
type Order struct {
	Device   DeviceID        `json:"device"`
	Seq      uint64          `json:"seq"`
	Purpose  Purpose         `json:"purpose"`
	Issuer   PersonID        `json:"issuer"`
	Role     PostID          `json:"role"`
	Second   PersonID        `json:"second,omitempty"`   // who confirmed
	Incident string          `json:"incident,omitempty"` // 令和8-001
	State    uint64          `json:"state,omitempty"`    // number of the stop state this sets
	Issued   time.Time       `json:"issued"`
	Deliver  time.Time       `json:"deliver_by"`
	Reason   string          `json:"reason,omitempty"` // code or reference, no personal data
	Body     json.RawMessage `json:"body,omitempty"`
}

// DoorOrder names the door.
type DoorOrder struct {
	Door DoorCode `json:"door"`
}

// ClockOrder allows one step of the clock to about To.
type ClockOrder struct {
	To time.Time `json:"to"`
}

// StopOrder is 停止 or 再開 of a device's service.
type StopOrder struct {
	Scope string `json:"scope"`
}
