package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sekimori/firmware-sim/internal/api"
)

const faultHelp = `次の電文を壊します。--count は何回か(既定 1)。

OSDP の読取装置:
  bad_crc    応答の検査(CRC)が合わない
  bad_mac    応答の MAC が違う(検査は合う。改ざんされた電文)。MAC のある応答まで待つ
  truncate   応答の後半が欠ける
  duplicate  同じ応答が二度続けて届く
  silent     命令は実行するが、応答しない
  busy       BUSY を返す
  power      一瞬の停電。連番・セキュアチャネル・溜めたできごと・表示を失う(鍵・番地・速さは失わない)
  wrong_key  鍵を知らない別の装置が、次のセキュアチャネルの求めに答える(すり替え)

Wiegand の読取装置:
  glitch     1 µs の余分なパルス
  overlap    D0 と D1 が重なる
  short      3 ビット欠ける
  parity     パリティが合わない

照合装置:
  unreadable 指を置いても読み取れない
  bad_sum    応答の検査和が合わない
  lie        消したと答えて、消さない
  power      一瞬の停電。パスワードの確認・写した指・表示を失う

PN532:
  bad_sum    応答の検査和が合わない
  silent     命令は実行するが、応答しない
  torn       カードとのやりとりが途切れる(かざし方が浅い)
  power      一瞬の停電。起こすまで眠り、見つけたカードを忘れる

応答の遅れは stall、雑音は noise、断線と復旧は cable、工場出荷時に戻すのは wipe です。
何が残っているかは state --json の osdp.faults に出ます。`

const stallHelp = `読取装置の応答を遅らせます(Wiegand には応答がありません)。制御盤が待ちきれない長さ(既定では 200 ミリ秒を
超える)なら、遅れた応答は、制御盤が次に話すときに重なって双方を壊すことも、あとから古い応答として届くこともあります。
他の読取装置は待たされません。`

const noiseHelp = `線に雑音を流します。Wiegand では余分なパルス、ほかでは乱数のバイトです。
OSDP では、そのとき線にある電文も壊れます。線を抜いた読取装置からは流れません。`

const cableHelp = `読取装置の線を抜く(off)、挿す(on)。抜いている間、応答は途絶えますが、電源は切れず、
OSDP の読取装置はできごとを溜め続けます(照合装置と PN532 の電源は同じ線で来るので、切れます)。電源ごと失うには fault READER power を使います。`

const wipeHelp = `OSDP の読取装置を箱から出したときに戻します。番地と速さ(COMSET)、固有の鍵(KEYSET)は
設定ファイルのとおりになり、secure: install なら公開の鍵 SCBK-D をまた受け付けます。
wipe しなければ、これらは模擬装置を止めても残ります(置き場所の state.json)。`

const fingerHelp = `指を当てます。SLOT は、その指の特徴が登録されている場所の番号、0 は登録のない指です。
照合装置(kind: fingerprint)では、指を名前でも示せます。登録されていない名前は知らない指です。
OSDP の読取装置(biometric: true)は、指を求めていないときは断ります(state --json の osdp.finger)。`

func (a *app) faultVerbs() []*cobra.Command {
	return []*cobra.Command{a.cableVerb(), a.stallVerb(), a.noiseVerb(), a.faultVerb(), a.wipeVerb(), a.inputVerb()}
}

func (a *app) cableVerb() *cobra.Command {
	v := verb(groupFaults, "cable READER on|off", "読取装置の線を抜く(off)、挿す(on)", "  sekimori-sim cable D31-in off", func(ctx context.Context, args []string) error {
		on, err := onOff(args[1])
		if err != nil {
			return err
		}
		return a.act(ctx, api.Reader(args[0], "cable"), api.CableBody{Connected: &on})
	})
	v.Long = cableHelp
	return v
}

func (a *app) stallVerb() *cobra.Command {
	var ms, count int
	v := verb(groupFaults, "stall READER", "応答を遅らせる(Wiegand のほか)", "  sekimori-sim stall D31-in --ms 400", func(ctx context.Context, args []string) error {
		return a.act(ctx, api.Reader(args[0], "stall"), api.StallBody{MS: ms, Count: count})
	})
	v.Long = stallHelp
	v.Flags().IntVar(&ms, "ms", 400, "遅れ(`ミリ秒`)")
	v.Flags().IntVar(&count, "count", 1, "何回")
	return v
}

func (a *app) noiseVerb() *cobra.Command {
	var bytes int
	v := verb(groupFaults, "noise READER", "線に雑音を流す", "  sekimori-sim noise D31-in --count 64", func(ctx context.Context, args []string) error {
		return a.act(ctx, api.Reader(args[0], "noise"), api.CountBody{Count: bytes})
	})
	v.Long = noiseHelp
	v.Flags().IntVar(&bytes, "count", 32, "バイト数かパルス数")
	return v
}

func (a *app) faultVerb() *cobra.Command {
	var times int
	v := verb(groupFaults, "fault READER KIND", "次の電文を壊す、停電させる、すり替える(KIND は --help で)", "  sekimori-sim fault D31-in bad_mac --count 3", func(ctx context.Context, args []string) error {
		return a.act(ctx, api.Reader(args[0], "fault"), api.FaultBody{Kind: args[1], Count: times})
	})
	v.Long = faultHelp
	v.Flags().IntVar(&times, "count", 1, "何回")
	return v
}

func (a *app) wipeVerb() *cobra.Command {
	v := verb(groupFaults, "wipe READER", "工場出荷時に戻す: 鍵・番地・速さ(OSDP)", "", func(ctx context.Context, args []string) error {
		return a.act(ctx, api.Reader(args[0], "wipe"), struct{}{})
	})
	v.Long = wipeHelp
	return v
}

func (a *app) inputVerb() *cobra.Command {
	return verb(groupFaults, "input READER on|off", "読取装置につないだ接点(OSDP)", "", func(ctx context.Context, args []string) error {
		on, err := onOff(args[1])
		if err != nil {
			return err
		}
		return a.act(ctx, api.Reader(args[0], "input"), api.InputBody{On: &on})
	})
}

func (a *app) fingerVerb() *cobra.Command {
	var d time.Duration
	v := verb(groupPeople, "finger READER SLOT|NAME", "指を当てる(照合装置、指の読取りのある OSDP の読取装置)",
		"  sekimori-sim finger D31-fp P07\n  sekimori-sim finger D31-in 7", func(ctx context.Context, args []string) error {
			body := api.FingerBody{Finger: args[1], MS: int(d.Milliseconds())}
			if slot, err := strconv.Atoi(args[1]); err == nil {
				body.Finger, body.Slot = "", &slot
			}
			return a.act(ctx, api.Reader(args[0], "finger"), body)
		})
	v.Long = fingerHelp
	v.Flags().DurationVar(&d, "for", 800*time.Millisecond, "照合装置に指を置いている`長さ`")
	return v
}
