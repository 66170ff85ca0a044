// Command sekimori-agent is the program beside a door. The commands below are
// every way it can run.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sekimori/agent"
	"sekimori/configs"
	"sekimori/internal/cli"
	"sekimori/internal/hostsvc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		cli.Explain(os.Stderr, program, agent.Tell(err))
		os.Exit(1)
	}
}

const (
	program         = "sekimori-agent"
	defaultSettings = "/etc/sekimori/agent.yaml"
)

func root() *cobra.Command {
	var path string
	cmd := cli.Root(program, "関守: 扉の制御装置 (door controller agent)",
		"関守 sekimori の扉側プログラム。読取装置の入力をその場で判定し、記録してから錠を動かし、中央管理装置へ送ります。", defaultSettings, &path)
	cmd.AddCommand(runCommand(&path), enrolCommand(&path), checkCommand(&path), checkpointCommand(&path), readersCommand(&path))
	cli.Service(cmd, func() hostsvc.Spec { return spec(path) })
	return cmd
}

func spec(path string) hostsvc.Spec {
	return hostsvc.Spec{
		Name: program, Display: "関守 sekimori agent",
		About: "Door controller of the sekimori entry registers", Unit: configs.AgentUnit, Users: configs.Users, Settings: path,
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
