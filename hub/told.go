package hub

import (
	"errors"
	"io/fs"

	"sekimori/hub/internal/people"
	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
)

// told is an error with a sentence for the person at the terminal: what is
// wrong and the way out. The cause stays for operators.
type told struct {
	error
	sentence string
}

func (t told) Sentence() string { return t.sentence }
func (t told) Unwrap() error    { return t.error }

// errUnknownPerson, errNoKeys and errDeviceName are causes that commands meet.
var (
	errUnknownPerson = errors.New("nobody this hub knows")
	errNoKeys        = errors.New("no hub keys")
	errDeviceName    = errors.New("not a device name")
)

// sentences are for causes that no setting and no code of the contract explains.
var sentences = []struct {
	cause    error
	sentence string
}{
	{errNoKeys, "この自治体の鍵がまだありません。先に sekimori-hub init を実行してください。設定の state が正しいかも確かめてください。"},
	{pki.ErrExists, "この場所にはもう鍵があります。鍵は作り直しません。別の自治体なら設定の state を別の場所にしてください。"},
	{pki.ErrExposed, "鍵のファイルをほかの利用者が読めます。所有者だけが読めるようにしてから(chmod 600)、もう一度実行してください。"},
	{sqlite.ErrInUse, "この台帳は別の sekimori-hub が使っています。二つ同時には使えません。動いている方を止めるか、設定の state を確かめてください。"},
	{sqlite.ErrNewer, "この台帳は、より新しい版の sekimori-hub が書いたものです。その版以降を導入してください。"},
	{sqlite.ErrOlder, "この台帳は古い版のものです。一度 sekimori-hub run で起動すると新しくなります。"},
	{sqlite.ErrAlien, "このファイルは関守の台帳ではありません。場所を確かめてください。"},
	{errUnknownPerson, "その番号の人は登録されていません。先に import で取り込み、--as に登録済みの人の番号を書いてください。"},
	{people.ErrWho, "取込みは名前のある人が行います。--as に、ファイルにある人か登録済みの人の番号を書いてください。"},
	{people.ErrNoUser, "その利用者は登録されていません。取込みファイルの users を確かめてください。"},
	{people.ErrWeakPassword, "このパスワードは使えません。8文字以上で、ほかの人に推測されにくいものにしてください。"},
	{errDeviceName, "機器の名前に使えるのは、英数字と「-」「_」で32文字までです。例: DC-31"},
	{store.ErrFull, "ディスクに空きがありません。何も書かれていません。空けてから、もう一度実行してください。"},
	{fs.ErrNotExist, "ファイルがありません。場所と名前を確かめてください。"},
	{fs.ErrPermission, "ファイルを読み書きする権限がありません。sekimori-hub の利用者で実行しているか確かめてください。"},
}

// Tell adds a Japanese sentence to an error that has none yet, for the command
// line to show.
func Tell(err error) error {
	var has interface{ Sentence() string }
	if err == nil || errors.As(err, &has) {
		return err
	}
	var unbound *people.UnboundError
	if errors.As(err, &unbound) {
		return told{err, unbound.JA()}
	}
	for _, s := range sentences {
		if errors.Is(err, s.cause) {
			return told{err, s.sentence}
		}
	}
	return err
}
