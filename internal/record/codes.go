package record

import (
	"errors"
	"fmt"
)

// Code names a failure for people and for machines. Users see the code and its
// sentence, operators see the cause.
type Code string

const (
	CodeMalformed     Code = "SK-1001"
	CodeBadSignature  Code = "SK-1002"
	CodeWrongDevice   Code = "SK-1003"
	CodeReplayed      Code = "SK-1004"
	CodeGap           Code = "SK-1005"
	CodeEventChanged  Code = "SK-1006"
	CodePolicyOld     Code = "SK-1101"
	CodeOrderOld      Code = "SK-1102"
	CodeOrderExpired  Code = "SK-1103"
	CodeOrderUnknown  Code = "SK-1104"
	CodeLogRolledBack Code = "SK-1201"
	CodeLogForked     Code = "SK-1202"
	CodeEnrolCode     Code = "SK-1301"
	CodeEnrolRoot     Code = "SK-1302"
	CodeUnknownDevice Code = "SK-1303"
	CodeClockStep     Code = "SK-1401"
	CodeStoreFailed   Code = "SK-1501"
)

// Text is the sentence for people, with a way out, in Japanese and English.
type Text struct{ JA, EN string }

var texts = map[Code]Text{
	CodeMalformed:     {"通信の内容を読み取れません。機器の版が合っているか確認してください。", "The message cannot be read. Check that both ends run matching versions."},
	CodeBadSignature:  {"署名が正しくありません。機器を止めず、情報係に連絡してください。", "The signature does not match. Leave the device running and call the system administrator."},
	CodeWrongDevice:   {"別の機器あての内容です。登録された機器名を確認してください。", "This is addressed to another device. Check the enrolled device ID."},
	CodeReplayed:      {"同じ内容が再び届きました。記録は二重になっていません。", "The same message came again. Nothing was recorded twice."},
	CodeGap:           {"機器の記録の番号が飛んでいます。証跡欠落として確認してください。", "The device's record numbers have a gap. Close it as a loss of evidence."},
	CodeEventChanged:  {"記録済みの事象と異なる内容が届きました。機器の複製を疑ってください。", "A different event came for a number already recorded. Suspect a cloned device."},
	CodePolicyOld:     {"古い許可情報が届きました。今の許可情報のまま動きます。", "An older policy came. The present one stays in force."},
	CodeOrderOld:      {"処理済みの番号の指示です。実行しません。", "This order's number is already used. It is not executed."},
	CodeOrderExpired:  {"期限の過ぎた指示です。実行しません。もう一度指示してください。", "The order came after its delivery limit. It is not executed; issue it again."},
	CodeOrderUnknown:  {"この機器では実行できない指示です。", "This device cannot execute the order."},
	CodeLogRolledBack: {"中央管理装置の台帳が、前に確認した時より短くなっています（巻戻し）。監査人に連絡してください。", "The hub's ledger is shorter than before (rolled back). Call the auditor."},
	CodeLogForked:     {"中央管理装置の台帳が、前に確認した内容と合いません（改変）。監査人に連絡してください。", "The hub's ledger does not extend what was seen before (changed). Call the auditor."},
	CodeEnrolCode:     {"登録コードが使えません（誤り・使用済み・期限切れ）。新しいコードを発行してください。", "The enrolment code cannot be used (wrong, used or expired). Issue a new one."},
	CodeEnrolRoot:     {"接続先の中央管理装置が登録コードと一致しません。接続先とコードを確認してください。", "The hub is not the one the code was issued by. Check the address and the code."},
	CodeUnknownDevice: {"登録されていない機器です。", "The device is not enrolled."},
	CodeClockStep:     {"時計のずれが大きすぎます。管理者の指示で時刻を合わせてください。", "The clock is too far off. Step it by a signed order."},
	CodeStoreFailed:   {"記録の保存に失敗しました。空き容量を確認してください。記録は機器に残っています。", "Saving failed. Check free disk space; the records are still on the device."},
}

// Text is the code's sentence; every code has one.
func (c Code) Text() Text { return texts[c] }

// Codes lists every code that has a text.
func Codes() map[Code]Text { return texts }

// Error joins a code for people with a cause for operators.
type Error struct {
	Code  Code
	Cause error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Code, e.Cause) }
func (e *Error) Unwrap() error { return e.Cause }

// Fail makes an *Error.
func Fail(c Code, cause error) error { return &Error{Code: c, Cause: cause} }

// CodeOf finds the code of an error, or "" where it has none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
