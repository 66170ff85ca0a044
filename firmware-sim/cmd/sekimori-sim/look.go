package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sekimori/firmware-sim/internal/api"
	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/play"
	"sekimori/firmware-sim/internal/world"
)

func (a *app) observingVerbs() []*cobra.Command {
	state := verb(groupObserving, "state", "錠・扉・読取装置の今の様子", "  sekimori-sim state --json", func(ctx context.Context, _ []string) error {
		c := a.client()
		defer c.Close()
		s, err := c.State(ctx)
		if err != nil {
			return err
		}
		if a.json {
			return a.print(s)
		}
		return a.table(s)
	})
	timeline := verb(groupObserving, "timeline DOOR", "一つの扉の経過(JSON)", "", func(ctx context.Context, args []string) error {
		return a.fetch(ctx, api.Door(args[0], "timeline"))
	})
	cards := verb(groupObserving, "cards", "カードの対応表: 番号・施設番号・番号・ビット(JSON)", "", func(ctx context.Context, _ []string) error {
		return a.fetch(ctx, "/v1/cards")
	})
	return []*cobra.Command{state, timeline, a.eventsVerb(), cards, a.waitVerb(), a.clockVerb(), a.playVerb()}
}

// fetch prints an answer as it is.
func (a *app) fetch(ctx context.Context, path string) error {
	c := a.client()
	defer c.Close()
	var v json.RawMessage
	if err := c.Get(ctx, path, &v); err != nil {
		return err
	}
	return a.print(v)
}

var causeNames = map[door.Cause]string{door.Fire: "火災", door.Rex: "退室ボタン", door.Relay: "制御盤", door.Power: "停電"}

func (a *app) table(s world.State) error {
	fmt.Fprintf(a.out, "模擬時刻 %s(実時刻 %s)\n\n", s.Clock.Simulated.Format("2006-01-02 15:04:05"), s.Clock.Real.Format("15:04:05"))
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "扉\t錠\t扉の開閉\t火災\t退室ボタン\tこじ開け\t錠の電源\t通電回数")
	for _, id := range sorted(s.Doors) {
		d := s.Doors[id]
		lock := "施錠"
		if len(d.ReleasedBy) > 0 {
			var by []string
			for _, c := range d.ReleasedBy {
				by = append(by, causeNames[c])
			}
			lock = "解錠(" + strings.Join(by, "・") + ")"
		}
		leaf := "閉"
		if d.Leaf == "open" {
			leaf = fmt.Sprintf("開 %d秒", d.OpenMS/1000)
		}
		if d.Forced {
			leaf += "(強制)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", id, lock, leaf, mark(d.Fire), mark(d.Rex), mark(d.Tamper), mark(d.Power), d.Pulses)
	}
	fmt.Fprintln(w, "\n読取装置\t種類\t線\t表示灯\tブザー\t備考")
	for _, id := range sorted(s.Readers) {
		r := s.Readers[id]
		note := ""
		if r.OSDP != nil {
			note = fmt.Sprintf("通信 %s 待ち %d %s", mark(r.OSDP.Online), r.OSDP.Queued, linkWords(r.OSDP))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", id, r.Kind, mark(r.Cable), r.LED, r.Buzzes, note)
	}
	fmt.Fprintln(w, "\n制御盤\tつながっているプログラム")
	for _, id := range sorted(s.Controllers) {
		name := s.Controllers[id].Client
		if name == "" {
			name = "なし"
		}
		fmt.Fprintf(w, "%s\t%s\n", id, name)
	}
	return w.Flush()
}

// linkWords tells how the link of an OSDP reader is protected.
func linkWords(o *bus.Status) string {
	switch {
	case o.DefaultKey:
		return "セキュアチャネル(公開の鍵)"
	case o.Secure:
		return "セキュアチャネル"
	}
	return "平文"
}

func mark(b bool) string {
	if b {
		return "○"
	}
	return "−"
}

func (a *app) eventsVerb() *cobra.Command {
	var after uint64
	var follow bool
	v := verb(groupObserving, "events", "できごとを順に出す(1行に1件の JSON)", "  sekimori-sim events --follow", nil)
	v.RunE = func(cmd *cobra.Command, _ []string) error {
		c := a.client()
		defer c.Close()
		enc := json.NewEncoder(a.out)
		for {
			var page struct {
				Events []world.Event `json:"events"`
				Last   uint64        `json:"last"`
			}
			path := fmt.Sprintf("/v1/events?after=%d", after)
			if follow {
				path += "&timeout=30s"
			}
			err := c.Get(cmd.Context(), path, &page)
			if cmd.Context().Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			for _, e := range page.Events {
				after = e.Seq
				if err := enc.Encode(e); err != nil {
					return err
				}
			}
			if !follow && after >= page.Last {
				return nil
			}
		}
	}
	v.Flags().Uint64Var(&after, "after", 0, "この`番号`より後だけ")
	v.Flags().BoolVar(&follow, "follow", false, "出し続ける")
	return v
}

func (a *app) waitVerb() *cobra.Command {
	q := map[string]*string{}
	v := verb(groupObserving, "wait", "そうなるまで待つ", "  sekimori-sim wait --door D31 --lock released --timeout 2s", func(ctx context.Context, _ []string) error {
		query := url.Values{}
		for key, value := range q {
			if *value != "" {
				query.Set(key, *value)
			}
		}
		c := a.client()
		defer c.Close()
		s, err := c.Wait(ctx, query)
		if err == nil && a.json {
			err = a.print(s)
		}
		return err
	})
	for _, f := range [][3]string{{"door", "", "`扉`"}, {"lock", "", "錠: locked か released"}, {"leaf", "", "扉: open か closed"},
		{"reader", "", "`読取装置`"}, {"led", "", "表示灯の`色`"}, {"timeout", "2s", "待つ`長さ`"}, {"since", "", "このできごとの`番号`より後なら、終わっていてもよい"}} {
		q[f[0]] = v.Flags().String(f[0], f[1], f[2])
	}
	return v
}

func (a *app) clockVerb() *cobra.Command {
	clock := &cobra.Command{Use: "clock", Short: "模擬の時計: show set advance skew", GroupID: groupObserving, DisableFlagsInUseLine: true}
	move := func(ctx context.Context, body api.ClockBody) error {
		c := a.client()
		defer c.Close()
		if _, err := c.Post(ctx, "/v1/clock", body); err != nil {
			return err
		}
		return a.fetch(ctx, "/v1/clock")
	}
	clock.AddCommand(
		verb("", "show", "今の模擬時刻と実時刻", "", func(ctx context.Context, _ []string) error { return a.fetch(ctx, "/v1/clock") }),
		verb("", "set TIME", "時刻を合わせる(進めると時間が経つ)", "  sekimori-sim clock set 2026-06-15T09:00:00+09:00", func(ctx context.Context, args []string) error {
			return move(ctx, api.ClockBody{Set: args[0]})
		}),
		verb("", "advance LENGTH", "時間を進める", "  sekimori-sim clock advance 90m", func(ctx context.Context, args []string) error {
			return move(ctx, api.ClockBody{Advance: args[0]})
		}),
		verb("", "skew CONTROLLER LENGTH", "一台の時計だけ狂わせる(戻すには 0s)", "  sekimori-sim clock skew DC-31 -- -2m", func(ctx context.Context, args []string) error {
			return move(ctx, api.ClockBody{Controller: args[0], Skew: args[1]})
		}),
	)
	return clock
}

func (a *app) playVerb() *cobra.Command {
	var once bool
	v := verb(groupObserving, "play SCENARIO", "台本どおりに人を動かす", "  sekimori-sim play firmware-sim/scenarios/morning.yaml", func(ctx context.Context, args []string) error {
		s, err := play.Load(args[0])
		if err != nil {
			return err
		}
		s.Loop = s.Loop && !once
		c := a.client()
		defer c.Close()
		if _, err := c.State(ctx); err != nil {
			return err
		}
		wrong, err := play.Run(ctx, c, s, a.tell)
		if err == nil && wrong > 0 {
			err = fmt.Errorf("%d 件が台本と違いました", wrong)
		}
		return err
	})
	v.Flags().BoolVar(&once, "once", false, "loop でも一度だけ")
	return v
}

var verbNames = map[string]string{"pass": "通行", "exit": "退室ボタンで退室", "card": "カード", "keys": "テンキー", "open": "開扉", "close": "閉扉",
	"force": "こじ開け", "rex": "退室ボタン", "tamper": "箱の開閉", "power": "電源", "fire": "火災接点", "cable": "線"}

// tell prints one act: ○ as expected, × otherwise.
func (a *app) tell(t play.Told) {
	result := "○"
	if !t.AsExpected() {
		result = "×"
	}
	note := ""
	switch {
	case t.Err != nil:
		note = t.Err.Error()
	case t.Verb == "pass" && t.Outcome.Released:
		note = fmt.Sprintf("解錠まで %.0f ミリ秒", t.Outcome.AfterMS)
	case t.Verb == "pass":
		note = "解錠されず"
	}
	fmt.Fprintf(a.out, "%s %7s %s %s %s %s\n", result, t.Act.At.D().Round(time.Second), verbNames[t.Verb], t.Outcome.Door, t.Act.Who, note)
}
