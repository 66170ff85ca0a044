package register

import (
	"encoding/json"
	"fmt"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Registers of this package, as RegisterRow.Register names them.
const (
	Entries = "REG-01"  // 入退室管理簿
	Denials = "DENIALS" // 不許可・異常一覧
)

// Severities of DENIALS.
const (
	SeverityAlarm  = "alarm"
	SeverityRecord = "record"
)

// Reasons and kinds that only registers know.
const (
	ReasonExitFree record.Reason = "exit_without_credential" // 記録なし退室
	ReasonFire     record.Reason = "fire_release"            // 火災解錠
	ReasonLate     record.Reason = "late_arrival"            // 遅延受信
	KindCatchUp    record.Kind   = "late_arrival"            // one row for the alarms of a device's catch-up [T-41]
)

// Result is 結果.
type Result string

// Results.
const (
	ResultGranted     Result = "granted"
	ResultDenied      Result = "denied"
	ResultUnconfirmed Result = "exit_unconfirmed"
)

// Stay is the Data of a row of 入退室管理簿: one stay of one person in one room.
type Stay struct {
	Room       record.RoomCode      `json:"room"`               // 室コード
	Level      record.SecurityLevel `json:"level,omitempty"`    // セキュリティ区分; 0 where no device said it
	Door       record.DoorCode      `json:"door,omitempty"`     //
	Entered    *time.Time           `json:"entered,omitempty"`  // 入室; nil: an exit whose entry nobody saw
	Exited     *time.Time           `json:"exited,omitempty"`   // 退室
	Person     record.PersonID      `json:"person,omitempty"`   //
	Name       string               `json:"name,omitempty"`     // 氏名, as of the event, original glyphs
	Section    string               `json:"section,omitempty"`  // 所属
	Post       string               `json:"post,omitempty"`     //
	Category   string               `json:"category,omitempty"` // 職員・委託・訪問者・緊急
	Purpose    string               `json:"purpose,omitempty"`  // 目的
	Method     record.Method        `json:"method,omitempty"`   // 認証手段 of the entry
	ExitMethod record.Method        `json:"exit_method,omitempty"`
	Credential record.CredentialID  `json:"credential,omitempty"` // 資格番号; masked on print
	Attendant  string               `json:"attendant,omitempty"`  // 立会者
	Result     Result               `json:"result"`               // 結果
	Reasons    []record.Reason      `json:"reasons,omitempty"`    // 理由区分, in the order they came
	Notes      []string             `json:"notes,omitempty"`      // 特記事項

	Received     time.Time          `json:"received"`                // 受信 of the entry
	ExitReceived *time.Time         `json:"exit_received,omitempty"` // 受信 of the exit
	Late         bool               `json:"late,omitempty"`          // 遅延受信
	Quality      record.TimeQuality `json:"tq,omitempty"`            // 時刻品質
	ExitQuality  record.TimeQuality `json:"exit_tq,omitempty"`
	Device       record.DeviceID    `json:"device,omitempty"` // 機器ID
	Epoch        record.Epoch       `json:"epoch,omitzero"`
	Seq          uint64             `json:"seq,omitempty"`
	ByHand       bool               `json:"by_hand,omitempty"`    // 手入力
	After        bool               `json:"after,omitempty"`      // 事後転記
	Paper        string             `json:"paper,omitempty"`      // number of the paper row
	EnteredBy    *ledger.Resolved   `json:"entered_by,omitempty"` // 入力者
	Basis        []string           `json:"basis"`                // 根拠条文

	Fire       bool     `json:"fire,omitempty"`       // a fire release happened during the stay
	Superseded bool     `json:"superseded,omitempty"` // the same person entered again
	Closing    *Closing `json:"closing,omitempty"`    // by hand, beside the missing exit
}

// Closing is how a stay without an exit was closed by a named person.
type Closing struct {
	Exited time.Time        `json:"exited"`
	Reason string           `json:"reason"`
	By     *ledger.Resolved `json:"by,omitempty"`
	At     time.Time        `json:"at"`
}

// Denial is the Data of a row of 不許可・異常一覧.
type Denial struct {
	Kind       record.Kind          `json:"kind"`
	Reason     record.Reason        `json:"reason,omitempty"`
	Room       record.RoomCode      `json:"room,omitempty"`
	Level      record.SecurityLevel `json:"level,omitempty"`
	Door       record.DoorCode      `json:"door,omitempty"`
	Reader     record.ReaderID      `json:"reader,omitempty"`
	Direction  record.Direction     `json:"dir,omitempty"`
	At         time.Time            `json:"at"`
	Until      *time.Time           `json:"until,omitempty"` // when the state ended
	Person     record.PersonID      `json:"person,omitempty"`
	Name       string               `json:"name,omitempty"` // blank for an unknown credential
	Section    string               `json:"section,omitempty"`
	Category   string               `json:"category,omitempty"`
	Credential record.CredentialID  `json:"credential,omitempty"`
	Tag        record.CredentialTag `json:"tag,omitempty"` // recognises an unknown card, says nothing of it
	Method     record.Method        `json:"method,omitempty"`
	Notes      []record.Reason      `json:"notes,omitempty"`
	By         *ledger.Resolved     `json:"by,omitempty"`     // who ended or caused it
	Code       record.Code          `json:"code,omitempty"`   // of a finding
	Detail     string               `json:"detail,omitempty"` //
	Count      uint64               `json:"count,omitempty"`  // occurrences in one row
	Severity   string               `json:"severity"`
	Received   time.Time            `json:"received"`
	Late       bool                 `json:"late,omitempty"`
	Quality    record.TimeQuality   `json:"tq,omitempty"`
	Device     record.DeviceID      `json:"device,omitempty"`
	Epoch      record.Epoch         `json:"epoch,omitzero"`
	Seq        uint64               `json:"seq,omitempty"`
	Basis      []string             `json:"basis"`
}

// StayRow and DenialRow are rows with their data read.
type (
	StayRow struct {
		store.RegisterRow
		Stay Stay
	}
	DenialRow struct {
		store.RegisterRow
		Denial Denial
	}
)

func stayRow(r store.RegisterRow) (StayRow, error) {
	s := StayRow{RegisterRow: r}
	if err := json.Unmarshal(r.Data, &s.Stay); err != nil {
		return s, fmt.Errorf("%s %s %d number %d: %w", r.Register, r.Series, r.FiscalYear, r.Number, err)
	}
	return s, nil
}

func denialRow(r store.RegisterRow) (DenialRow, error) {
	d := DenialRow{RegisterRow: r}
	if err := json.Unmarshal(r.Data, &d.Denial); err != nil {
		return d, fmt.Errorf("%s %s %d number %d: %w", r.Register, r.Series, r.FiscalYear, r.Number, err)
	}
	return d, nil
}

// Unconfirmed tells whether the stay is shown as 退室未確認 at now: because a fact
// says so, or because it has been open for longer than limit.
func (s StayRow) Unconfirmed(now time.Time, limit time.Duration) bool {
	return s.Stay.Result == ResultUnconfirmed || s.Open && now.Sub(s.At) > limit
}
