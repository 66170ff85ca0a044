// Package cli is what the command lines of our programs have in common: the
// same Japanese help, the same service verbs, the same way of telling a fault.
package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sekimori/internal/hostsvc"
	"sekimori/internal/record"
	"sekimori/internal/settings"
	"sekimori/internal/version"
)

const usage = `使い方:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} コマンド{{else}}{{with .Parent}}{{.CommandPath}} {{end}}{{.Use}} [指定]{{end}}
{{if .HasAvailableSubCommands}}
コマンド:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if .HasAvailableLocalFlags}}
指定:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
共通の指定:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}`

// Root makes a program's first command; path takes the settings file.
func Root(name, short, long, defaultPath string, path *string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long, Version: version.Version,
		SilenceUsage: true, SilenceErrors: true,
	}
	cmd.SetUsageTemplate(usage)
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetHelpCommand(&cobra.Command{Use: "help", Hidden: true})
	cmd.PersistentFlags().BoolP("help", "h", false, "この説明を出す")
	cmd.PersistentFlags().StringVar(path, "settings", defaultPath, "設定ファイル (settings file)")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\n`%s --help` で使い方を見てください", err, c.CommandPath())
	})
	return cmd
}

// Explain writes an error for the person at the terminal: faults of a file as
// they are, a coded error as its sentence and its cause, anything else as it is.
func Explain(w io.Writer, program string, err error) {
	var faults *settings.Faults
	if errors.As(err, &faults) {
		_ = errors.Join(faults.Print(w, settings.JA), faults.Print(w, settings.EN))
		return
	}
	if t := record.CodeOf(err).Text(); t.JA != "" {
		fmt.Fprintf(w, "%s %s\n%s\n", record.CodeOf(err), t.JA, t.EN)
	}
	var said interface{ Sentence() string }
	if errors.As(err, &said) {
		fmt.Fprintln(w, said.Sentence())
	}
	fmt.Fprintf(w, "%s: %v\n", program, err)
}

var serviceWords = map[string]string{
	"install": "サービスとして登録する", "uninstall": "サービスの登録を消す",
	"start": "サービスを始める", "stop": "サービスを止める", "restart": "サービスを始め直す",
}

var statusWords = map[string]string{
	"running": "動作中", "stopped": "停止", "not installed": "未登録", "unknown": "不明",
}

// Service adds the verbs of the operating system's service.
func Service(root *cobra.Command, spec func() hostsvc.Spec) {
	for _, action := range hostsvc.Actions {
		root.AddCommand(&cobra.Command{
			Use: action, Short: serviceWords[action] + " (" + action + " the service)", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				err := spec().Control(action)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: 完了\n", serviceWords[action])
				}
				return err
			},
		})
	}
	root.AddCommand(&cobra.Command{
		Use: "status", Short: "サービスの状態を見る (status of the service)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := spec().Status()
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", statusWords[st], st)
			}
			return err
		},
	})
}
