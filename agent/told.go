package agent

import (
	"errors"

	"sekimori/agent/internal/identity"
	"sekimori/agent/internal/journal/disk"
	"sekimori/agent/internal/watch"
	"sekimori/drivers/line"
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
	{line.ErrBusy, "そのポートは別のプログラムが使っています。sekimori-agent のサービスが動いているなら、sekimori-agent stop で止めてから、もう一度実行してください。終わったら sekimori-agent start で戻してください。"},
	{line.ErrMissing, "その名前の変換器は今つながっていません。差し込みを確かめ、sekimori-agent readers list で名前を確かめてください。"},
	{line.ErrAmbiguous, "同じ名前のポートがいくつもあります。sekimori-agent readers list の「設定に書く名前」を使ってください。"},
	{errNoReader, "その名前の読取装置は設定にありません。sekimori-agent readers list で確かめてください。"},
	{errSilent, "読取装置が応答しません。電源、配線、番地、速度、設定の link を確かめてください(sekimori-agent readers probe)。"},
	{errHasKey, "この読取装置には既に鍵を渡してあります。新しい鍵に替えるなら --replace を付けてください。"},
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
