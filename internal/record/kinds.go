package record

import "time"

// Kind says what happened. Names are those of the vocabulary (domain.md §3.4).
type Kind string

// Facts of a device about itself.
const (
	KindEpochStarted    Kind = "epoch_started"    // Body EpochStarted
	KindBooted          Kind = "booted"           // Body Booted
	KindJournalFull     Kind = "journal_full"     // Body JournalFull: 記録不能
	KindPolicyActivated Kind = "policy_activated" // Body PolicyActivated: the device's own confirmation
	KindPolicyRejected  Kind = "policy_rejected"  // Body Rejected
	KindOrderExecuted   Kind = "order_executed"   // Body OrderExecuted
	KindOrderRejected   Kind = "order_rejected"   // Body Rejected
	KindClockSet        Kind = "clock_set"        // Body ClockSet
	KindClockAnomaly    Kind = "clock_anomaly"    // Body ClockSet: 時刻異常
	KindLedgerDoubt     Kind = "ledger_doubt"     // Body LedgerDoubt: this witness saw the hub's log misbehave
	KindReaderOffline   Kind = "reader_offline"   // Body ReaderState: 機器不通
	KindReaderOnline    Kind = "reader_online"    // Body ReaderState
	KindTamper          Kind = "tamper"           // Body TamperState: 改ざん検知
	KindTamperEnded     Kind = "tamper_ended"     // Body TamperState
	KindWiringFault     Kind = "wiring_fault"     // Body TamperState: 配線異常
)

// Facts of a reader and of what it holds.
const (
	KindDoorEquipped       Kind = "door_equipped"       // Body DoorEquipped: what is fitted, told at each start [T-22]
	KindReaderUntrusted    Kind = "reader_untrusted"    // Body ReaderState: 読取装置認証失敗, the link's proof of its key failed
	KindReaderTrusted      Kind = "reader_trusted"      // Body ReaderState: ends reader_untrusted
	KindReaderCommissioned Kind = "reader_commissioned" // Body ReaderWork: a key or password was set
	KindTemplateEnrolled   Kind = "template_enrolled"   // Body ReaderWork: 照合情報登録
	KindTemplateDeleted    Kind = "template_deleted"    // Body ReaderWork: 照合情報削除, verified by asking the module
	KindModuleWiped        Kind = "module_wiped"        // Body ReaderWork: every template gone, verified by count
)

// Facts of the auxiliary lines.
const (
	KindInputActive  Kind = "input_active"  // Body InputState
	KindInputCleared Kind = "input_cleared" // Body InputState: ends input_active or input_fault
	KindInputFault   Kind = "input_fault"   // Body InputState: 配線異常 of a supervised input
)

// Facts at a door.
const (
	KindGranted       Kind = "access_granted"          // Body Passage: the lock is about to be released
	KindDenied        Kind = "access_denied"           // Body Passage with Reason
	KindEntered       Kind = "entered"                 // Body Passage: the door opened under an entry grant
	KindExited        Kind = "exited"                  // Body Passage: the door opened under an exit credential
	KindExitFree      Kind = "exit_without_credential" // Body DoorState: 記録なし退室 after REX or the inside handle
	KindREX           Kind = "rex_pressed"             // Body DoorState: 退室釦
	KindForcedOpen    Kind = "forced_open"             // Body DoorState: 強制開扉
	KindHeldOpen      Kind = "held_open"               // Body DoorState: 開放放置
	KindDoorClosed    Kind = "door_closed"             // Body DoorState: ends forced_open or held_open
	KindKeyEntry      Kind = "physical_key_entry"      // Body Passage: 鍵による入室
	KindFireRelease   Kind = "fire_release"            // Body DoorState: 火災解錠
	KindFireEnded     Kind = "fire_ended"              // Body DoorState: the input ended; the door stays released
	KindRearmed       Kind = "rearmed"                 // Body DoorState with the order that re-armed it
	KindRoomClosed    Kind = "room_closed"             // Body DoorState
	KindRoomReopened  Kind = "room_reopened"           // Body DoorState
	KindAttemptsSpent Kind = "attempts_exceeded"       // Body Passage: 試行超過, entry of this person is refused for a time
)

// SecurityLevel is セキュリティ区分 of a room: 3 is strictest. It is not a
// ThreatLevel (incidents) and not an ImportanceClass (assets) [T-34].
type SecurityLevel uint8

// Direction of a passage, as seen from outside the room.
type Direction string

const (
	DirectionIn  Direction = "in"
	DirectionOut Direction = "out"
)

// Method is 認証手段.
type Method string

const (
	MethodCard    Method = "card"         // カード
	MethodCardPIN Method = "card_pin"     // カード+暗証番号
	MethodFinger  Method = "biometric"    // 照合情報
	MethodCardBio Method = "card_bio"     // カード+照合情報
	MethodKey     Method = "physical_key" // 鍵
)

// Reason is 理由区分 (domain.md §3.4): why an entry was refused, or what is
// noted about a passage that was not.
type Reason string

const (
	ReasonUnknownCredential   Reason = "unknown_credential"    // 未登録
	ReasonNoPermit            Reason = "no_permit_for_room"    // 許可なし
	ReasonPermitExpired       Reason = "permit_expired"        // 期限切れ
	ReasonOutsideSchedule     Reason = "outside_schedule"      // 時間外
	ReasonRoomClosed          Reason = "room_closed"           // 閉室
	ReasonCredentialLost      Reason = "credential_lost"       // 紛失届済
	ReasonCredentialRevoked   Reason = "credential_revoked"    // 失効
	ReasonSecondFactorMissing Reason = "second_factor_missing" // 第二要素なし
	ReasonPINMismatch         Reason = "pin_mismatch"          // 暗証番号不一致
	ReasonBiometricMismatch   Reason = "biometric_mismatch"    // 照合不一致
	ReasonUnproven            Reason = "proof_missing"         // 真正性未確認: the card did not prove itself where that is demanded [T-22]
	ReasonAttemptsExceeded    Reason = "attempts_exceeded"     // 試行超過
	ReasonAntiPassback        Reason = "antipassback"          // 再入室矛盾
	ReasonClockAnomaly        Reason = "clock_anomaly"         // 時刻異常
	ReasonPolicyStale         Reason = "policy_stale"          // 許可情報が古い (T-21)
	ReasonNoPolicy            Reason = "no_policy"             // 許可情報なし
	ReasonJournalFull         Reason = "journal_full"          // 記録不能
	ReasonStopped             Reason = "stop_order"            // 停止指示
	ReasonExitAfterExpiry     Reason = "exit_after_expiry"     // 許可満了後退室
	ReasonExitUnconfirmed     Reason = "exit_unconfirmed"      // 退室未確認
)

// Passage is one person's attempt at one door.
type Passage struct {
	Door       DoorCode      `json:"door"`
	Room       RoomCode      `json:"room"`
	Level      SecurityLevel `json:"level"`
	Direction  Direction     `json:"dir"`
	Reader     ReaderID      `json:"reader,omitempty"`
	Grant      string        `json:"grant,omitempty"`      // joins access_granted to entered or exited
	Person     PersonID      `json:"person,omitempty"`     // empty when the credential is unknown
	Credential CredentialID  `json:"credential,omitempty"` //
	Tag        CredentialTag `json:"tag,omitempty"`        // of an unknown card: lets the hub recognise it, tells nobody its number
	Method     Method        `json:"method,omitempty"`
	UIDOnly    bool          `json:"uid_only,omitempty"` // the card proved nothing but a number [T-22]
	Reason     Reason        `json:"reason,omitempty"`   // of a denial
	Notes      []Reason      `json:"notes,omitempty"`    // of a passage that was let through
}

// DoorState is a fact of the door itself, with nobody in particular.
type DoorState struct {
	Door  DoorCode      `json:"door"`
	Room  RoomCode      `json:"room"`
	Level SecurityLevel `json:"level,omitempty"`
	Order uint64        `json:"order,omitempty"` // the order that caused it
	By    PersonID      `json:"by,omitempty"`    // the order's named issuer
	For   time.Duration `json:"for,omitempty"`   // ns the state lasted, when it ends
	Notes []Reason      `json:"notes,omitempty"`
}

// EpochStarted opens an epoch.
type EpochStarted struct {
	Previous  Epoch  `json:"previous,omitzero"` // zero for a device's first journal
	LastSeq   uint64 `json:"last_seq"`          // the last readable seq of the previous epoch
	Damage    string `json:"damage,omitempty"`  // why a new epoch was needed, in words
	TailBytes int64  `json:"tail,omitempty"`    // bytes cut from a torn tail
}

// Booted is the program's start.
type Booted struct {
	Version string `json:"version"`
	Cut     int64  `json:"cut,omitempty"` // bytes of a torn last write that were cut off
}

// JournalFull counts the facts that could not be written down.
type JournalFull struct {
	Lost uint64 `json:"lost"`
}

// PolicyActivated is the device's confirmation of a policy, with its own time.
type PolicyActivated struct {
	Version uint64 `json:"version"`
	From    uint64 `json:"from"`
}

// Rejected tells why something signed, or said to be signed, was not obeyed.
type Rejected struct {
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
}

// OrderExecuted confirms an order.
type OrderExecuted struct {
	Seq     uint64   `json:"seq"`
	Purpose Purpose  `json:"purpose"`
	Issuer  PersonID `json:"issuer"`
}

// ClockSet is a step of the device's clock, or the refusal of one.
type ClockSet struct {
	Before time.Time     `json:"before"`
	After  time.Time     `json:"after"`
	Step   time.Duration `json:"step"` // ns
	Why    string        `json:"why"`
}

// LedgerDoubt is a witness's finding about the hub's log.
type LedgerDoubt struct {
	Code      Code   `json:"code"`
	HeldSize  int64  `json:"held_size"`
	HeldRoot  Hash   `json:"held_root"`
	ShownSize int64  `json:"shown_size"`
	ShownRoot Hash   `json:"shown_root"`
	Detail    string `json:"detail"`
}

// ReaderState is a change of a reader's health.
type ReaderState struct {
	Reader ReaderID      `json:"reader"`
	Door   DoorCode      `json:"door"`
	Room   RoomCode      `json:"room"`
	For    time.Duration `json:"for,omitempty"` // ns it was away, when it comes back
	Detail string        `json:"detail,omitempty"`
}

// TamperState is an opened case or a broken line.
type TamperState struct {
	Reader ReaderID `json:"reader,omitempty"` // empty for the door's own tamper line
	Door   DoorCode `json:"door"`
	Room   RoomCode `json:"room"`
	Detail string   `json:"detail,omitempty"`
}

// Proof says what a fitted reader can show of who stands before it [T-22].
type Proof string

const (
	ProofUIDOnly       Proof = "uid_only"      // 番号のみ
	ProofCryptographic Proof = "cryptographic" // 暗号による証明
	ProofBiometric     Proof = "biometric"     // 照合情報
)

// DoorEquipped is what is fitted at one door.
type DoorEquipped struct {
	Door    DoorCode       `json:"door"`
	Readers []ReaderFitted `json:"readers"`
}

// ReaderFitted is one reader of a door. Secure says that its link is one that
// proves both ends; a door with a reader that is neither Secure nor more than
// uid_only trusts a number that can be copied from the wire.
type ReaderFitted struct {
	Reader    ReaderID  `json:"reader"`
	Direction Direction `json:"dir"`
	Driver    string    `json:"driver"`
	Proof     Proof     `json:"proof"`
	Secure    bool      `json:"secure,omitempty"`
}

// ReaderWork is what an installer or a keeper did to a reader itself. Operator is
// the account of the operating system: the device knows no other name.
type ReaderWork struct {
	Reader   ReaderID      `json:"reader"`
	Operator string        `json:"operator"`
	Slot     uint16        `json:"slot,omitempty"`     // of one template
	Left     *int          `json:"left,omitempty"`     // templates in the module afterwards, as it counts them
	Lasted   time.Duration `json:"lasted,omitempty"`   // ns the reader was open to commissioning
	Verified bool          `json:"verified,omitempty"` // the reader confirmed it when asked again
}

// InputPurpose is what an auxiliary contact means.
type InputPurpose string

const (
	InputMains         InputPurpose = "mains_failure"  // 停電
	InputUPSLow        InputPurpose = "ups_low"        // UPS電池低下
	InputTemperature   InputPurpose = "temperature"    // 温度異常
	InputWaterLeak     InputPurpose = "water_leak"     // 漏水
	InputIntrusion     InputPurpose = "intrusion"      // 侵入
	InputEmergencyCall InputPurpose = "emergency_call" // 非常呼出
	InputEmergencyExit InputPurpose = "emergency_exit" // 非常口
	InputCabinet       InputPurpose = "cabinet_tamper" // 盤・ラックの開扉
)

// InputPurposes lists them all.
func InputPurposes() []InputPurpose {
	return []InputPurpose{InputMains, InputUPSLow, InputTemperature, InputWaterLeak, InputIntrusion, InputEmergencyCall, InputEmergencyExit, InputCabinet}
}

// InputState is a change of one auxiliary contact.
type InputState struct {
	Input   string        `json:"input"` // its ID in the settings
	Purpose InputPurpose  `json:"purpose"`
	Room    RoomCode      `json:"room,omitempty"`
	For     time.Duration `json:"for,omitempty"` // ns it lasted, when it ends
	Detail  string        `json:"detail,omitempty"`
}
