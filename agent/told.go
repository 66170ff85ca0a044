package agent

import (
	"errors"

	"sekimori/agent/internal/identity"
	"sekimori/agent/internal/journal/disk"
	"sekimori/agent/internal/watch"
)

// told is an error with a sentence for the person at the terminal.
type told struct {
	error
	sentence string
}

func (t told) Sentence() string { return t.sentence }
func (t told) Unwrap() error    { return t.error }

// errHardware is the cause where lines or readers cannot be had.
var errHardware = errors.New("lines or readers cannot be had")

// sentences are for causes that no setting and no code of the contract explains.
var sentences = []struct {
	cause    error
	sentence string
}{
	{disk.ErrLocked, "この機器の記録は、別の sekimori-agent が使っています。二つ同時には使えません。動いている方を止めるか、設定の state を確かめてください。"},
	{disk.ErrNoSpace, "ディスクに空きがありません。空けてから、もう一度起動してください。退室はそのままできます。"},
	{watch.ErrNone, "この機器は、まだ台帳の署名を受け取っていません。中央管理装置とつながってから、もう一度実行してください。"},
	{identity.ErrUnreached, "中央管理装置につながりません。設定の hub の宛先、配線、中央管理装置が動いているかを確かめて、もう一度実行してください。"},
	{errHardware, "扉の線か読取装置を使えません。設定の lines と buses、配線、権限(gpio・dialout グループ)、ほかのプログラムが使っていないかを確かめてください。"},
}

// Tell adds a Japanese sentence to an error that has none yet, for the command
// line to show.
func Tell(err error) error {
	var has interface{ Sentence() string }
	if err == nil || errors.As(err, &has) {
		return err
	}
	for _, s := range sentences {
		if errors.Is(err, s.cause) {
			return told{err, s.sentence}
		}
	}
	return err
}
