package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sekimori/firmware-sim/internal/api"
	"sekimori/firmware-sim/internal/play"
	"sekimori/internal/settings"
)

// act posts and says 済, or the answer as JSON.
func (a *app) act(ctx context.Context, path string, body any) error {
	c := a.client()
	defer c.Close()
	d, err := c.Post(ctx, path, body)
	if err != nil {
		return err
	}
	if a.json {
		return a.print(d)
	}
	_, err = fmt.Fprintln(a.out, "済")
	return err
}

func (a *app) print(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// onOff reads the words of a switch.
func onOff(s string) (bool, error) {
	switch s {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, fmt.Errorf("%w: on か off と書いてください (%q)", errUsage, s)
}

func (a *app) peopleVerbs() []*cobra.Command {
	var body api.CardBody
	var id uint64
	var d time.Duration
	card := verb(groupPeople, "card READER [NUMBER]", "カードをかざす", "  sekimori-sim card D31-in 0000012345\n  sekimori-sim card D31-in --bits 26:06181cc0", nil)
	card.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 2 {
			body.Number = args[1]
		}
		if c.Flags().Changed("for") {
			ms := int(d.Milliseconds())
			body.MS = &ms
		}
		if c.Flags().Changed("id") {
			body.ID = &id
		}
		return a.act(c.Context(), api.Reader(args[0], "card"), body)
	}
	card.Flags().BoolVar(&body.Clone, "clone", false, "番号だけ写した複製(PN532。鍵を持たない)")
	card.Flags().DurationVar(&d, "for", 800*time.Millisecond, "置いている`長さ`(PN532。0s は remove まで)")
	card.Flags().StringVar(&body.Bits, "bits", "", "カードの中身(`ビット数:16進`)")
	card.Flags().StringVar(&body.Format, "format", "", "カードの`書式`(h10301 など)")
	card.Flags().Uint64Var(&body.Facility, "facility", 0, "施設番号")
	card.Flags().Uint64Var(&id, "id", 0, "番号")
	keys := verb(groupPeople, "keys READER KEYS", "テンキーを打つ", "  sekimori-sim keys D31-in 7007#", func(ctx context.Context, args []string) error {
		return a.act(ctx, api.Reader(args[0], "keys"), api.KeysBody{Keys: args[1]})
	})
	remove := verb(groupPeople, "remove READER", "置いたカードを取り去る(PN532)", "  sekimori-sim remove D31-nfc", func(ctx context.Context, args []string) error {
		return a.act(ctx, api.Reader(args[0], "remove"), struct{}{})
	})
	return []*cobra.Command{a.passVerb(), card, remove, keys, a.fingerVerb(),
		a.doorVerb("open", "扉を開ける(施錠中は開かない)"), a.doorVerb("close", "扉を閉める"),
		a.doorVerb("force", "扉をこじ開ける"), a.doorVerb("rex", "退室ボタンを押す、内側の取っ手を回す")}
}

func (a *app) doorVerb(name, short string) *cobra.Command {
	var d time.Duration
	v := verb(groupPeople, name+" DOOR", short, "", func(ctx context.Context, args []string) error {
		return a.act(ctx, api.Door(args[0], name), api.DoorBody{MS: int(d.Milliseconds())})
	})
	if name != "close" {
		v.Flags().DurationVar(&d, "for", 0, "この`長さ`のあと自然に戻る(例 3s)")
	}
	return v
}

func (a *app) passVerb() *cobra.Command {
	var p play.Passage
	p.SetDefaults()
	think, wait, walk := p.Think.D(), p.Wait.D(), p.Walk.D()
	v := verb(groupPeople, "pass READER", "一人が通る: かざし、暗証番号を打つか指を当て、解錠を待ち、開け、通り、閉める",
		"  sekimori-sim pass D31-in --card 0000012345 --pin 7007#", func(ctx context.Context, args []string) error {
			p.Reader, p.Think, p.Wait, p.Walk = args[0], settings.Every(think), settings.Every(wait), settings.Every(walk)
			c := a.client()
			defer c.Close()
			out, err := play.Pass(ctx, c, p)
			if err != nil {
				return err
			}
			if a.json {
				err = a.print(out)
			} else if out.Released {
				_, err = fmt.Fprintf(a.out, "%s 通りました(最後の認証から解錠まで %.0f ミリ秒、解錠 %d 回)\n", out.Door, out.AfterMS, out.Releases)
			}
			if err == nil && !out.Released {
				err = errNoRelease
			}
			return err
		})
	v.Flags().StringVar(&p.Card, "card", "", "カードの`番号`か名前")
	v.Flags().StringVar(&p.PIN, "pin", "", "`暗証番号`(終わりの # まで)")
	v.Flags().StringVar(&p.Sensor, "sensor", "", "指を当てる`照合装置`")
	v.Flags().StringVar(&p.Finger, "finger", "", "指の`名前`(--sensor とともに)")
	v.Flags().DurationVar(&think, "think", think, "かざしてから打つまでの`間`")
	v.Flags().DurationVar(&wait, "wait", wait, "解錠を待つ`長さ`")
	v.Flags().DurationVar(&walk, "walk", walk, "開けてから閉めるまでの`長さ`")
	return v
}

func (a *app) buildingVerbs() []*cobra.Command {
	onOffVerb := func(name, short string, body func(on bool) any) *cobra.Command {
		return verb(groupBuilding, name+" DOOR on|off", short, "", func(ctx context.Context, args []string) error {
			on, err := onOff(args[1])
			if err != nil {
				return err
			}
			return a.act(ctx, api.Door(args[0], name), body(on))
		})
	}
	fire := verb(groupBuilding, "fire on|off", "火災受信機の接点(錠の電源に直列。プログラムを通らない)", "  sekimori-sim fire on --door D31", nil)
	doors := fire.Flags().StringSlice("door", nil, "この`扉`だけ(既定は全部)")
	fire.RunE = func(c *cobra.Command, args []string) error {
		on, err := onOff(args[0])
		if err != nil {
			return err
		}
		return a.act(c.Context(), "/v1/fire", api.FireBody{On: &on, Doors: *doors})
	}
	tamper := verb(groupBuilding, "tamper DOOR_OR_READER on|off", "箱や読取装置をこじ開ける(on)、元に戻す(off)", "", func(ctx context.Context, args []string) error {
		on, err := onOff(args[1])
		if err != nil {
			return err
		}
		return a.tamper(ctx, args[0], on)
	})
	return []*cobra.Command{fire, tamper,
		onOffVerb("power", "錠の電源", func(on bool) any { return api.DoorBody{On: &on} })}
}

// tamper finds out whether the ID is a reader's or a door's.
func (a *app) tamper(ctx context.Context, id string, on bool) error {
	c := a.client()
	s, err := c.State(ctx)
	c.Close()
	if err != nil {
		return err
	}
	path := api.Door(id, "tamper")
	if _, isReader := s.Readers[id]; isReader {
		path = api.Reader(id, "tamper")
	}
	return a.act(ctx, path, api.DoorBody{Open: &on})
}
