package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	sim "sekimori/firmware-sim"
	"sekimori/firmware-sim/internal/api"
)

func (a *app) client() *api.Client {
	if a.addr != "" {
		return api.Dial(a.addr)
	}
	return api.Dial(filepath.Join(a.dir, sim.SocketName))
}

func (a *app) cityVerbs() []*cobra.Command {
	cfg := sim.Config{}
	run := verb(groupCity, "run", "模擬の街を動かす(Ctrl+C で止める)",
		"  sekimori-sim run --config configs/sim.yaml --dir sim-run", func(ctx context.Context, _ []string) error {
			cfg.Dir = a.dir
			cfg.Log = slog.New(slog.NewTextHandler(a.log, nil))
			cfg.Ready = a.ready
			return sim.Run(ctx, cfg)
		})
	run.Flags().StringVar(&cfg.Settings, "config", defaultConfig, "設定`ファイル`")
	run.Flags().StringVar(&cfg.Listen, "listen", "", "操作を受ける`アドレス`(127.0.0.1 か [::1] だけ。例 127.0.0.1:8931)")

	var path string
	check := verb(groupCity, "check-config", "設定を読み、誤りをすべて示す", "", func(context.Context, []string) error {
		if err := sim.CheckSettings(path); err != nil {
			return err
		}
		fmt.Fprintln(a.out, path+": 誤りはありません。")
		return nil
	})
	check.Flags().StringVar(&path, "config", defaultConfig, "設定`ファイル`")
	return []*cobra.Command{run, check}
}

// ready tells the person who started the city where its wires end.
func (a *app) ready(r sim.Ready) {
	fmt.Fprintf(a.out, "模擬装置が動いています。\n  操作    %s\n", r.Socket)
	if r.HTTP != "" {
		fmt.Fprintf(a.out, "          %s\n", r.HTTP)
	}
	for _, id := range sorted(r.State.Controllers) {
		c := r.State.Controllers[id]
		fmt.Fprintf(a.out, "  %-7s 線 %s\n", id, c.Lines)
		for _, b := range c.Buses {
			fmt.Fprintf(a.out, "          OSDP %s\n", b)
		}
		for _, m := range c.Modules {
			fmt.Fprintf(a.out, "          装置 %s\n", m)
		}
	}
	fmt.Fprintf(a.out, "  時計    %s\n", r.State.Clock.File)
}

func sorted[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
