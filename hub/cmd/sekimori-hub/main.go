// Command sekimori-hub is the municipality's hub. The commands below are every
// way it can run.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sekimori/configs"
	"sekimori/hub"
	"sekimori/internal/cli"
	"sekimori/internal/hostsvc"
	"sekimori/internal/record"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		cli.Explain(os.Stderr, program, hub.Tell(err))
		os.Exit(1)
	}
}

const (
	program         = "sekimori-hub"
	defaultSettings = "/etc/sekimori/hub.yaml"
)

func root() *cobra.Command {
	var path string
	cmd := cli.Root(program, "関守: 中央管理装置 (hub)",
		"関守 sekimori の中央管理装置。機器の記録を受け取り、台帳に綴じ、管理簿として見せます。", defaultSettings, &path)
	load := func() (hub.Settings, error) { return hub.LoadSettings(path) }
	cmd.AddCommand(
		initCommand(load), runCommand(load, &path), brokerCommand(), checkCommand(load, &path),
		importCommand(load), enrolCommand(load), userCommand(load), verifyCommand(load), exportCommand(load),
	)
	cli.Service(cmd, func() hostsvc.Spec { return spec(path) })
	return cmd
}

type loader func() (hub.Settings, error)

func spec(path string) hostsvc.Spec {
	return hostsvc.Spec{
		Name: program, Display: "関守 sekimori hub",
		About: "Hub of the sekimori entry registers", Unit: configs.HubUnit, Users: configs.Users, Settings: path,
	}
}

func initCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "自治体の鍵と台帳を作る(最初に一度) (make keys and ledger, once)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			offline, err := hub.Init(s)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s の鍵を作りました。\n%s は自治体の根の鍵です。この装置から外し、金庫に保管してください。\n", s.Municipality, offline)
			return nil
		},
	}
}

func runCommand(load loader, path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "中央管理装置を動かす (run the hub)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
			return spec(*path).Serve(cmd.Context(), func(ctx context.Context, sv hostsvc.Supervisor) error {
				return hub.Run(ctx, hub.Config{Settings: s, Log: log, Ready: sv.Ready, Alive: sv.Alive})
			})
		},
	}
}

// brokerCommand is how the hub starts its own broker: a process without keys of
// the hub and without a store.
func brokerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    hub.BrokerCommand,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return hub.RunBroker(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), slog.New(slog.NewJSONHandler(os.Stderr, nil)))
		},
	}
}

func checkCommand(load loader, path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check-config",
		Short: "設定ファイルを調べる (check the settings file)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load()
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: 正しい設定です(%s)。\n", *path, s.Municipality)
			}
			return err
		},
	}
}

func importCommand(load loader) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "import ファイル",
		Short: "人・部屋・許可・カードを取り込む (import people, rooms, permits, cards)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			done, err := hub.Import(cmd.Context(), s, args[0], record.PersonID(as))
			if err != nil {
				return err
			}
			for _, w := range done.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "注意:", w)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d 件の変更を取り込みました。\n", args[0], done.Changes)
			return nil
		},
	}
	asFlag(cmd, &as)
	return cmd
}

// asFlag: every change is some person's.
func asFlag(cmd *cobra.Command, as *string) {
	cmd.Flags().StringVar(as, "as", "", "行う人の番号、例 P01 (who does this)")
	_ = cmd.MarkFlagRequired("as")
}

func enrolCommand(load loader) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "enrol-code 機器",
		Short: "機器の登録コードを発行する(一度だけ、24時間) (issue a one-time enrolment code)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			code, err := hub.EnrolCode(cmd.Context(), s, args[0], record.PersonID(as))
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), code)
			}
			return err
		},
	}
	asFlag(cmd, &as)
	return cmd
}

func userCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "コンソールの利用者 (console users)"}
	cmd.AddCommand(&cobra.Command{
		Use:   "passwd 利用者",
		Short: "パスワードを設定する(標準入力から1行) (set a password, one line on standard input)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			password, err := readLine(cmd.InOrStdin())
			if err != nil {
				return err
			}
			if err := hub.SetPassword(cmd.Context(), s, args[0], password); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s のパスワードを設定しました。\n", args[0])
			return nil
		},
	})
	return cmd
}

// readLine reads one line, however it ends.
func readLine(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	for i, c := range b {
		if c == '\n' || c == '\r' {
			return string(b[:i]), nil
		}
	}
	return string(b), nil
}

func verifyCommand(load loader) *cobra.Command {
	var o hub.VerifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "台帳を検証する(欠落・改変・順序・末尾欠落・巻戻し) (verify the ledger)",
		Long: "台帳の写しを、通信なしで検証します。--store で写しの場所を、--against で機器から書き出した署名(sekimori-agent checkpoint)を示します。\n" +
			"異常がなければ終了コード 0、あれば 2 です。",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			sound, err := hub.Verify(cmd.Context(), s, o, cmd.OutOrStdout())
			if err == nil && !sound {
				os.Exit(2)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.Store, "store", "", "検証する台帳の写し(既定は設定の台帳) (copy of hub.db)")
	cmd.Flags().StringVar(&o.Against, "against", "", "機器が持つ署名のファイル (checkpoint exported from an agent)")
	return cmd
}
