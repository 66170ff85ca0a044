package fingerprint

import (
	"errors"
	"fmt"
)

// What an act can come to. Each wraps one of these; Advice says it to the person
// at the door.
var (
	ErrNotRunning      = errors.New("the reader is not running")
	ErrOffline         = errors.New("the module does not answer")
	ErrRefused         = errors.New("the module refuses this host's password")
	ErrInterrupted     = errors.New("the module was reset in the middle")
	ErrNoSuchSlot      = errors.New("the module has no such slot")
	ErrSlotTaken       = errors.New("the slot holds a template already")
	ErrSlotEmpty       = errors.New("the slot holds no template")
	ErrFull            = errors.New("the module is full")
	ErrNobody          = errors.New("no finger was laid on the sensor in time")
	ErrUnreadable      = errors.New("the finger could not be read")
	ErrTouchesDiffer   = errors.New("the two touches are not of one finger")
	ErrAlreadyEnrolled = errors.New("this finger is enrolled already")
	ErrDifferentFinger = errors.New("the finger is not the one of the slot")
	ErrStorage         = errors.New("the module could not write its storage")
	ErrStillThere      = errors.New("a template is still there after its deletion")
	ErrNotKept         = errors.New("the module did not take over the password")
	ErrForeign         = errors.New("the module is bound to another host")
)

// advices is what to do about each error, for the person doing it.
var advices = []struct {
	err    error
	advice string
}{
	{ErrNotRunning, "リーダーが動いていません。エージェントの起動と設定を確かめてください。"},
	{ErrOffline, "指紋モジュールが応答しません。配線と電源を確かめてください。"},
	{ErrRefused, "指紋モジュールがこの制御盤のパスワードを受け付けません。交換や取り違えがないか確かめてください。"},
	{ErrForeign, "この指紋モジュールは別の制御盤に結び付けられています。元の制御盤に戻すか、別のモジュールを使ってください。"},
	{ErrInterrupted, "途中で指紋モジュールが再起動しました。電源を確かめて、もう一度行ってください。"},
	{ErrNoSuchSlot, "その番号の登録場所はありません。1 から収容数未満の番号を選んでください。"},
	{ErrSlotTaken, "その番号には既に登録があります。先に消すか、別の番号を選んでください。"},
	{ErrSlotEmpty, "その番号には登録がありません。"},
	{ErrFull, "指紋モジュールに空きがありません。使わない登録を消してください。"},
	{ErrNobody, "時間内に指が置かれませんでした。もう一度行ってください。"},
	{ErrUnreadable, "指を読み取れませんでした。指と読取面を拭いて、もう一度行ってください。"},
	{ErrTouchesDiffer, "1 回目と 2 回目の指が一致しません。同じ指で初めから行ってください。"},
	{ErrAlreadyEnrolled, "この指は既に別の番号に登録されています。"},
	{ErrDifferentFinger, "登録された指と一致しません。"},
	{ErrStorage, "指紋モジュールが記憶に書き込めませんでした。モジュールの交換を考えてください。"},
	{ErrStillThere, "削除を確認できません。モジュールに登録が残っています。もう一度消し、だめならモジュールを取り外して保管してください。"},
	{ErrNotKept, "パスワードの設定を確認できません。もう一度行い、だめならこのモジュールを使わないでください。"},
}

// Advice is one Japanese sentence for the person who asked for the act that
// ended with err: what happened and what to do.
func Advice(err error) string {
	for _, a := range advices {
		if errors.Is(err, a.err) {
			return a.advice
		}
	}
	return "指紋モジュールの操作に失敗しました。もう一度行ってください。"
}

// ModuleError is an answer that fits none of the errors above.
type ModuleError struct {
	Doing string // the command, in the manuals' name
	Code  Confirmation
}

func (e *ModuleError) Error() string {
	return fmt.Sprintf("the module answered %s with %q", e.Doing, e.Code)
}

// AlreadyEnrolledError is ErrAlreadyEnrolled with the slot that holds the finger.
type AlreadyEnrolledError struct{ Slot uint16 }

func (e *AlreadyEnrolledError) Error() string {
	return fmt.Sprintf("%v at slot %d", ErrAlreadyEnrolled, e.Slot)
}

// Unwrap makes errors.Is find ErrAlreadyEnrolled.
func (e *AlreadyEnrolledError) Unwrap() error { return ErrAlreadyEnrolled }

// Step is what the person at the sensor should do now.
type Step uint8

// The steps of an enrolment, in order; StepAgain may come before each lift.
const (
	StepPlace      Step = iota + 1 // lay the finger on the sensor
	StepAgain                      // it could not be read: lift, and lay it again
	StepLift                       // lift the finger
	StepPlaceAgain                 // lay the same finger on the sensor
	StepDone                       // stored and checked
)

var stepWords = map[Step]string{
	StepPlace:      "指を置いてください",
	StepAgain:      "読み取れません。指を離して、もう一度置いてください",
	StepLift:       "指を離してください",
	StepPlaceAgain: "同じ指をもう一度置いてください",
	StepDone:       "登録しました",
}

// String is the step as a sentence for the person.
func (s Step) String() string { return stepWords[s] }
