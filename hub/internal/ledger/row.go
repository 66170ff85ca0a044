// Package ledger is the hub's one append-only order of facts.
//
//	device event ─┐             ┌─ row bytes + salt ─┐
//	human entry  ─┼─ Row ──────▶│  event bytes + salt│── one transaction
//	finding      ─┘   leaf ────▶└─ RFC 6962 hashes ──┘        │
//	                                              signed checkpoint ──▶ witnesses
//
// A leaf is the salted commitment of the row's canonical bytes; the row names
// the commitment of the device's event, which the device signed. With bytes and
// salt gone the leaf still counts, and says nothing [T-28].
package ledger

import (
	"encoding/json"
	"time"

	"sekimori/internal/record"
)

// Kinds of facts that are not a device's.
const (
	KindMasterDeclared  record.Kind = "hub.master_declared"  // Body store.MasterItem without secrets
	KindDeviceEnrolled  record.Kind = "hub.device_enrolled"  // Body DeviceEnrolled
	KindDeviceRevoked   record.Kind = "hub.device_revoked"   // Body DeviceEnrolled
	KindEntryByHand     record.Kind = "hub.entry_by_hand"    // Body EntryByHand: 手入力・事後転記
	KindStayClosed      record.Kind = "hub.stay_closed"      // Body StayClosed: by the 入退室管理者
	KindOrderIssued     record.Kind = "hub.order_issued"     // Body record.Order
	KindPolicyCompiled  record.Kind = "hub.policy_compiled"  // Body PolicyCompiled
	KindSecurityFinding record.Kind = "hub.security_finding" // Body SecurityFinding
	KindOpaqueEvent     record.Kind = "hub.opaque_event"     // an authentic event this hub cannot read
	KindEvidenceGap     record.Kind = "hub.evidence_gap"     // 証跡欠落; Body EvidenceGap
	KindSignedIn        record.Kind = "hub.signed_in"        // Body SignedIn
	KindSignInFailed    record.Kind = "hub.sign_in_failed"   // Body SignedIn
	KindHubStarted      record.Kind = "hub.started"          // Body HubStarted
)

// Row is one line of the ledger. Its canonical bytes are its JSON as encoded
// once; they are stored and never made again.
type Row struct {
	V        int                `json:"v"`
	Kind     record.Kind        `json:"kind"`
	At       time.Time          `json:"at"`             // effective, UTC
	Quality  record.TimeQuality `json:"tq"`             //
	Received time.Time          `json:"received"`       // at the hub, UTC
	Late     bool               `json:"late,omitempty"` // 遅延受信
	Device   record.DeviceID    `json:"device,omitempty"`
	Epoch    record.Epoch       `json:"epoch,omitzero"`
	Seq      uint64             `json:"seq,omitempty"`
	Event    record.Hash        `json:"event,omitzero"`  // the device's signed commitment
	Who      *Resolved          `json:"who,omitempty"`   // the person of the event, as of At [T-30]
	Actor    *Resolved          `json:"actor,omitempty"` // who entered or caused a human fact
	Via      string             `json:"via,omitempty"`   // console, cli, api, agent, import
	Basis    []string           `json:"basis,omitempty"` // 根拠条文, for example "000-7.2"
	Body     json.RawMessage    `json:"body,omitempty"`  // of facts that are not a device's
}

// Resolved is a person as they were at that time.
type Resolved struct {
	Person   record.PersonID `json:"person"`
	Name     string          `json:"name"`              // original glyphs, never normalised [T-43]
	Section  string          `json:"section,omitempty"` // 所属
	Post     string          `json:"post,omitempty"`
	Category string          `json:"category,omitempty"` // 職員 / 委託 / 訪問者 / 緊急
	Acting   bool            `json:"acting,omitempty"`   // 職務代理
}

// DeviceEnrolled records a device's key, so that its signatures can be checked
// from the ledger alone.
type DeviceEnrolled struct {
	Device  record.DeviceID  `json:"device"`
	Key     record.PublicKey `json:"key"`
	Serial  string           `json:"serial"`
	Until   time.Time        `json:"until"`
	Renewal bool             `json:"renewal,omitempty"`
}

// EntryByHand is a stay written by a person: a room without a controller, or a
// day on paper.
type EntryByHand struct {
	Room    record.RoomCode `json:"room"`
	Person  record.PersonID `json:"person"`
	Entered time.Time       `json:"entered"`
	Exited  *time.Time      `json:"exited,omitempty"`
	Method  record.Method   `json:"method"`
	Purpose string          `json:"purpose,omitempty"`
	Paper   string          `json:"paper,omitempty"` // number of the paper row
	After   bool            `json:"after,omitempty"` // 事後転記
	Note    string          `json:"note,omitempty"`
}

// StayClosed closes an open stay by hand.
type StayClosed struct {
	Room   record.RoomCode `json:"room"`
	Number int64           `json:"number"`
	Year   int             `json:"year"`
	Exited time.Time       `json:"exited"`
	Reason string          `json:"reason"`
}

// PolicyCompiled records a policy that was signed for a device.
type PolicyCompiled struct {
	Device  record.DeviceID `json:"device"`
	Version uint64          `json:"version"`
	Why     string          `json:"why"`
}

// SecurityFinding is something a stranger, a broken device or a broken link did.
type SecurityFinding struct {
	Finding  string          `json:"finding"` // wrong_topic, foreign_certificate, replayed_batch, …
	Code     record.Code     `json:"code,omitempty"`
	Remote   string          `json:"remote,omitempty"`
	Identity string          `json:"identity,omitempty"`
	Count    uint64          `json:"count"`
	Detail   string          `json:"detail,omitempty"`
	First    time.Time       `json:"first"`
	Device   record.DeviceID `json:"device,omitempty"`
}

// EvidenceGap is 証跡欠落 of a device, open until a named person closes it.
type EvidenceGap struct {
	Device   record.DeviceID `json:"device"`
	Epoch    record.Epoch    `json:"epoch"`
	After    uint64          `json:"after"`
	Before   uint64          `json:"before,omitempty"`
	Previous record.Epoch    `json:"previous,omitzero"`
	Why      string          `json:"why"`
}

// SignedIn is a sign-in at the console or a refused one.
type SignedIn struct {
	User   string `json:"user"`
	Remote string `json:"remote"`
}

// HubStarted is the hub's start.
type HubStarted struct {
	Version string `json:"version"`
}
