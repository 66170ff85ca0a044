// Command sekimori-sim runs a pretend city of doors and acts on it.
//
//	run                                the city itself, until it is told to stop
//	check-config                       reads the settings and tells every fault
//	card keys pass                     a person at a reader
//	open close force rex               a hand on a door
//	fire power tamper                  what a building does
//	finger                             a finger on a reader that asks for one
//	cable stall noise fault wipe input what goes wrong at a reader, or is done to it
//	clock state timeline events cards  what there is to see
//	wait play                          for scripts
//
// It needs no privileges. All verbs but run and check-config speak to a running
// city through its socket. Exit status: 0 done, 1 refused or failed, 2 wrong
// use, 3 the door did not release.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"sekimori/firmware-sim/internal/api"
	"sekimori/firmware-sim/internal/problem"
	"sekimori/internal/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit statuses.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitNoRelease  = 3
	envDir         = "SEKIMORI_SIM_DIR"
	defaultDir     = "sim-run"
	defaultConfig  = "configs/sim.yaml"
	groupCity      = "city"
	groupPeople    = "people"
	groupBuilding  = "building"
	groupFaults    = "faults"
	groupObserving = "observing"
)

var (
	errNoRelease = errors.New("the door did not release")
	errUsage     = errors.New("wrong use")
)

// app is what every verb needs.
type app struct {
	dir, addr string
	json      bool
	out, log  io.Writer
}

func execute(ctx context.Context, args []string, out, errw io.Writer) int {
	a := &app{out: out, log: errw}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	return explain(errw, err)
}

// explain tells a person what went wrong and what to do.
func explain(w io.Writer, err error) int {
	var p *problem.Error
	var faults *settings.Faults
	switch {
	case errors.Is(err, errNoRelease):
		fmt.Fprintln(w, "扉は解錠されませんでした。(the door did not release)")
		return exitNoRelease
	case errors.As(err, &p):
		fmt.Fprintf(w, "%s\n  %s [%s]\n", p.JA, p.EN, p.Code)
	case errors.As(err, &faults):
		_ = faults.Print(w, settings.JA)
	case errors.Is(err, api.ErrNotRunning):
		fmt.Fprintf(w, "模擬装置につながりません。`sekimori-sim run` で動かし、--dir か %s が同じか確かめてください。\n  %v\n", envDir, err)
	case errors.Is(err, errUsage):
		fmt.Fprintf(w, "%v\n`sekimori-sim --help` で使い方を見てください。\n", err)
		return exitUsage
	default:
		fmt.Fprintf(w, "失敗しました: %v\n", err)
	}
	return exitFailed
}

const usage = `使い方:
  {{.UseLine}}{{if .HasExample}}

例:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{range $g := .Groups}}

{{.Title}}{{range $cmds}}{{if and (eq .GroupID $g.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{$plain := false}}{{range $cmds}}{{if and (eq .GroupID "") .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

指定:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

共通の指定:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sekimori-sim",
		Short: "扉・読取装置・人を演じる模擬装置",
		Long: "関守の模擬装置。OSDP と Wiegand の読取装置、錠、扉、退室ボタン、火災接点を演じます。\n" +
			"A pretend city of doors for trying out and testing sekimori.",
		SilenceUsage: true, SilenceErrors: true, DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: %q という動作はありません", errUsage, args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "help", Hidden: true, RunE: func(c *cobra.Command, _ []string) error { return c.Root().Help() }})
	root.SetUsageTemplate(usage)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	dir := os.Getenv(envDir)
	if dir == "" {
		dir = defaultDir
	}
	f := root.PersistentFlags()
	f.StringVar(&a.dir, "dir", dir, "模擬装置の置き場所(環境変数 "+envDir+" でも指定可)")
	f.StringVar(&a.addr, "addr", "", "`URL` http://127.0.0.1:ポート で操作する(既定は置き場所のソケット)")
	f.BoolVar(&a.json, "json", false, "結果を JSON で出す")
	f.BoolP("help", "h", false, "この説明を出す")
	for _, g := range [][2]string{{groupCity, "動かす:"}, {groupPeople, "人:"}, {groupBuilding, "建物:"}, {groupFaults, "読取装置の故障:"}, {groupObserving, "見る・待つ:"}} {
		root.AddGroup(&cobra.Group{ID: g[0], Title: g[1]})
	}
	root.AddCommand(a.cityVerbs()...)
	root.AddCommand(a.peopleVerbs()...)
	root.AddCommand(a.buildingVerbs()...)
	root.AddCommand(a.faultVerbs()...)
	root.AddCommand(a.observingVerbs()...)
	return root
}

// verb makes one command. use begins with the name and lists the arguments;
// there are exactly as many as it lists, "[…]" ones may be left out.
func verb(group, use, short, example string, run func(ctx context.Context, args []string) error) *cobra.Command {
	words := strings.Fields(use)[1:]
	least := 0
	for _, w := range words {
		if !strings.HasPrefix(w, "[") {
			least++
		}
	}
	return &cobra.Command{
		Use: use, Short: short, GroupID: group, Example: example, DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < least || len(args) > len(words) {
				return fmt.Errorf("%w: %s", errUsage, use)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return run(c.Context(), args) },
	}
}
