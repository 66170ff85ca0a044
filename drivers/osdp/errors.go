package osdp

import (
	"errors"
	"fmt"
)

// What an act asked for by a person can end with. The sentences are for the
// installer; errors.Is tells them apart.
var (
	ErrUnknownReader = errors.New("その名前の読取装置はこの回線にない · no such reader on this bus")
	ErrNotRunning    = errors.New("読取装置が運転していない · the reader is not running")
	ErrOffline       = errors.New("読取装置が応答しない。電源・配線・番地・速度を確かめる · the reader does not answer: check supply, wires, address and baud")
	ErrUnsure        = errors.New("途中で通信が切れ、実行されたか分からない · the conversation broke: it may or may not have been done")
	ErrAbsent        = errors.New("読取装置にその機能がない · the reader says that it lacks this")
	ErrNotAllowed    = errors.New("この命令は手では送れない · this command is not sent by hand")
	ErrTooLong       = errors.New("読取装置が受け取れる長さを超える · longer than the reader takes")
	ErrBusyAct       = errors.New("別の作業が進行中 · another act is under way")
)

// What commissioning can end with, besides those above.
var (
	ErrWithin     = errors.New("期限は 1 秒から 15 分 · the time limit is 1 s to 15 min")
	ErrDeadline   = errors.New("期限内に終わらなかった · not finished within the time limit")
	ErrOtherKey   = errors.New("読取装置は別の鍵を持つ。工場出荷状態に戻してからやり直す · the reader holds another key: reset it to factory state first")
	ErrNoSecure   = errors.New("読取装置は暗号通信ができない · the reader has no secure channel")
	ErrKeyRefused = errors.New("読取装置が鍵を受け付けない · the reader refuses the key")
	ErrNotKept    = errors.New("読取装置が書き込んだ鍵を使わない。工場出荷状態に戻すか交換する · the reader took the key but does not use it: reset or replace it")
)

// RefusedError is a NAK to a command that a person asked for.
type RefusedError struct {
	Command string
	Reason  byte
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("読取装置が %s を拒否 · the reader refused it: %s", e.Command, nakWords[e.Reason])
}

// ReaderError says which reader an error is about.
type ReaderError struct {
	Reader string
	Err    error
}

func (e *ReaderError) Error() string { return fmt.Sprintf("%s: %v", e.Reader, e.Err) }
func (e *ReaderError) Unwrap() error { return e.Err }
