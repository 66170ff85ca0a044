// Command sekimori-agent is the program beside a door. The commands below are
// every way it can run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sekimori/agent"
	"sekimori/configs"
	"sekimori/internal/hostsvc"
	"sekimori/internal/record"
	"sekimori/internal/settings"
	"sekimori/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		explain(os.Stderr, err)
		os.Exit(1)
	}
}

// explain writes faults of a settings file as they are, a coded error as its
// sentence and cause, and anything else as it is.
func explain(w io.Writer, err error) {
	var faults *settings.Faults
	if errors.As(err, &faults) {
		_ = errors.Join(faults.Print(w, settings.JA), faults.Print(w, settings.EN))
		return
	}
	if code := record.CodeOf(err); code != "" {
		t := code.Text()
		fmt.Fprintf(w, "%s %s\n%s\n", code, t.JA, t.EN)
	}
	if errors.Is(err, agent.ErrNotEnrolled) {
		fmt.Fprintln(w, "この機器はまだ登録されていません。中央管理装置で登録コードを発行し、sekimori-agent enrol を実行してください。")
	}
	fmt.Fprintf(w, "sekimori-agent: %v\n", err)
}

const defaultSettings = "/etc/sekimori/agent.yaml"

func root() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:           "sekimori-agent",
		Short:         "関守: 扉の制御装置 (door controller agent)",
		Long:          "関守 sekimori の扉側プログラム。読取装置の入力をその場で判定し、記録してから錠を動かし、中央管理装置へ送ります。",
		Version:       version.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.PersistentFlags().StringVar(&path, "settings", defaultSettings, "設定ファイル (settings file)")
	cmd.AddCommand(runCommand(&path), enrolCommand(&path), checkCommand(&path), checkpointCommand(&path), statusCommand(&path))
	for _, a := range hostsvc.Actions {
		cmd.AddCommand(controlCommand(&path, a))
	}
	return cmd
}

func spec(path string) hostsvc.Spec {
	return hostsvc.Spec{
		Name: "sekimori-agent", Display: "関守 sekimori agent",
		About: "Door controller of the sekimori entry registers", Unit: configs.AgentUnit, Settings: path,
	}
}

func runCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "扉の制御を始める (serve the doors)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := agent.LoadSettings(*path)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
			return spec(*path).Serve(cmd.Context(), func(ctx context.Context, sv hostsvc.Supervisor) error {
				c, err := s.Open(ctx, log)
				if err != nil {
					return err
				}
				c.Ready, c.Alive = sv.Ready, sv.Alive
				return agent.Run(ctx, c)
			})
		},
	}
}

func enrolCommand(path *string) *cobra.Command {
	var code string
	cmd := &cobra.Command{
		Use:   "enrol",
		Short: "中央管理装置に登録する (enrol with a one-time code)",
		Long:  "中央管理装置で発行した登録コードで、この機器を登録します。コードは一度だけ使えます。--code - とすると標準入力から読みます。",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := agent.LoadSettings(*path)
			if err != nil {
				return err
			}
			if code == "-" {
				if _, err := fmt.Fscan(cmd.InOrStdin(), &code); err != nil {
					return fmt.Errorf("read the code: %w", err)
				}
			}
			if err := agent.Enrol(cmd.Context(), s.Identity(), code); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s を登録しました。\n", s.Device)
			return nil
		},
	}
	cmd.Flags().StringVar(&code, "code", "-", "登録コード (enrolment code)")
	return cmd
}

func checkCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check-config",
		Short: "設定ファイルを調べる (check the settings file)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := agent.LoadSettings(*path)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: 正しい設定です(機器 %s、扉 %d)。\n", *path, s.Device, len(s.Doors))
			return nil
		},
	}
}

func checkpointCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "checkpoint",
		Short: "証人として持つ台帳の署名を書き出す (export the witnessed checkpoint)",
		Long:  "この機器が最後に確かめた台帳の署名(チェックポイント)を書き出します。sekimori-hub verify --against で使います。",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := agent.LoadSettings(*path)
			if err != nil {
				return err
			}
			note, err := agent.Checkpoint(s.Identity())
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(note)
			return err
		},
	}
}

var controlWords = map[string]string{
	"install": "サービスとして登録する", "uninstall": "サービスの登録を消す",
	"start": "サービスを始める", "stop": "サービスを止める", "restart": "サービスを始め直す",
}

func controlCommand(path *string, action string) *cobra.Command {
	return &cobra.Command{
		Use:   action,
		Short: controlWords[action] + " (" + action + " the service)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := spec(*path).Control(action); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: 完了\n", controlWords[action])
			return nil
		},
	}
}

func statusCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "サービスの状態を見る (status of the service)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := spec(*path).Status()
			if err != nil {
				return err
			}
			words := map[string]string{"running": "動作中", "stopped": "停止", "not installed": "未登録", "unknown": "不明"}
			fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", words[st], st)
			return nil
		},
	}
}
