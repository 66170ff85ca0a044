package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sekimori/agent"
)

const readersHelp = `読取装置の据付と点検に使う道具です。

  探す      list     ポート(USB シリアル番号付き)と、設定にある読取装置
            probe    ポートに何が、どの速度・番地でつながっているか
            blink    読取装置を光らせて、どれかを見つける
  見る      watch    読取装置の言うことを、その場で言葉にして出す
            quality  線の質を測る(千回あたりの誤り、応答時間)
  渡す      commission  読取装置に専用の鍵(指紋モジュールはパスワード)を渡す
            card-key    カードが自分を証明するための鍵を保管する
  指紋      enrol / delete / wipe / count

ポートを使えるのは一度に一つのプログラムだけです。サービスが動いているときは、
先に sekimori-agent stop で止め、終わったら sekimori-agent start で戻してください。
止めている間、カードや指で扉は開きません(退室釦と火災の解錠は、プログラムによらず効きます)。

鍵を渡す・指紋を登録する・消すと、この機器の記録に残り、中央管理装置に届きます。
カードの番号、暗証番号、鍵は、どのコマンドも画面に出しません。`

// readersCommand is the installer's tool box.
func readersCommand(path *string) *cobra.Command {
	cmd := &cobra.Command{Use: "readers", Short: "読取装置を探す・見る・鍵を渡す (the installer's tools)", Long: readersHelp}
	// work runs f with the workshop of the settings.
	work := func(cmd *cobra.Command, f func(context.Context, *agent.Workshop) error) error {
		s, err := agent.LoadSettings(*path)
		if err != nil {
			return err
		}
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		err = f(cmd.Context(), agent.NewWorkshop(s, cmd.OutOrStdout(), log))
		if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
			return nil // Ctrl+C is how one ends these
		}
		return err
	}
	cmd.AddCommand(listCommand(work), probeCommand(), watchCommand(path, work), qualityCommand(work), blinkCommand(work),
		commissionCommand(work), cardKeyCommand(work), templateCommand(work, "enrol", "指を登録する (enrol a finger)", (*agent.Workshop).Enrol),
		templateCommand(work, "delete", "登録した指を消し、消えたことを確かめる (delete a finger)", (*agent.Workshop).Delete), wipeCommand(work), countCommand(work))
	return cmd
}

type working func(*cobra.Command, func(context.Context, *agent.Workshop) error) error

func listCommand(work working) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "ポートと読取装置の一覧 (ports and readers)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := agent.ListPorts(cmd.OutOrStdout()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout())
			return work(cmd, func(_ context.Context, w *agent.Workshop) error { return w.List() })
		},
	}
}

func probeCommand() *cobra.Command {
	var l agent.ProbeLimits
	cmd := &cobra.Command{
		Use: "probe <ポート>", Short: "何がどの速度・番地でつながっているか調べる (probe a port)",
		Long: "PN532、指紋モジュール、OSDP の順に問い合わせます。速度を変えながら探すので、1 分ほどかかることがあります。",
		Args: exactly(1, "ポートの名前(例: /dev/ttyUSB0、usb:A10X2BQ4)を書いてください"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return agent.Probe(cmd.Context(), cmd.OutOrStdout(), args[0], l)
		},
	}
	cmd.Flags().IntVar(&l.Baud, "baud", 0, "この速度だけを試す (one baud only)")
	cmd.Flags().BoolVar(&l.AllAddresses, "all", false, "OSDP の番地 0〜126 を全部試す。数分かかる (all addresses)")
	return cmd
}

func watchCommand(path *string, work working) *cobra.Command {
	var all bool
	var baud int
	cmd := &cobra.Command{
		Use: "watch <読取装置|ポート>", Short: "言っていることをその場で見る (live frames in words)",
		Long: "読取装置の名前を書くと、その読取装置と話しながら見せます。--baud を付けてポートを書くと、何も送らずに線を聞いて OSDP の電文を見せます。Ctrl+C で終わります。",
		Args: exactly(1, "読取装置の名前か、--baud とポートの名前を書いてください"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if baud != 0 {
				return agent.WatchPort(cmd.Context(), cmd.OutOrStdout(), args[0], baud, all)
			}
			return work(cmd, func(ctx context.Context, w *agent.Workshop) error { return w.Watch(ctx, args[0], all) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "用のない問い合わせも出す (polls too)")
	cmd.Flags().IntVar(&baud, "baud", 0, "送らずに、ポートをこの速度で聞く (listen only)")
	return cmd
}

func qualityCommand(work working) *cobra.Command {
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "quality <読取装置>", Short: "線の質を測る (errors per thousand, reply times)", Args: exactly(1, oneReader),
		RunE: func(cmd *cobra.Command, args []string) error {
			return work(cmd, func(ctx context.Context, w *agent.Workshop) error { return w.Quality(ctx, args[0], lasts) })
		},
	}
	cmd.Flags().DurationVar(&lasts, "for", 30*time.Second, "測る長さ (how long)")
	return cmd
}

func blinkCommand(work working) *cobra.Command {
	return &cobra.Command{
		Use: "blink <読取装置>", Short: "光らせて見つける (which one is it?)", Args: exactly(1, oneReader),
		RunE: func(cmd *cobra.Command, args []string) error {
			return work(cmd, func(ctx context.Context, w *agent.Workshop) error { return w.Blink(ctx, args[0]) })
		},
	}
}

func commissionCommand(work working) *cobra.Command {
	var within time.Duration
	var replace bool
	cmd := &cobra.Command{
		Use: "commission <読取装置>", Short: "専用の鍵を渡す (give a reader its own key)",
		Long: `読取装置(OSDP)に専用の鍵を、指紋モジュールに専用のパスワードを渡します。鍵はこの機器で作り、
state フォルダの keys に保管します。読取装置がその鍵を証明したときだけ成功です。

工場出荷時の鍵を使うのはこの作業の間だけです。読取装置が目の前にあり、線をほかの人が触れない
ときに行ってください。指紋モジュールに持ち込まれた登録は消します。`,
		Args: exactly(1, oneReader),
		RunE: func(cmd *cobra.Command, args []string) error {
			return work(cmd, func(ctx context.Context, w *agent.Workshop) error {
				return w.Commission(ctx, args[0], within, replace)
			})
		},
	}
	cmd.Flags().DurationVar(&within, "within", 2*time.Minute, "期限。過ぎたらやめる (time limit, 1s to 15m)")
	cmd.Flags().BoolVar(&replace, "replace", false, "既にある鍵を新しい鍵に替える (give a new key)")
	return cmd
}

func cardKeyCommand(work working) *cobra.Command {
	return &cobra.Command{
		Use: "card-key <読取装置>", Short: "カードの証明に使う鍵を保管する (keep the key of the cards)",
		Long: "鍵(16 進 32 桁)を標準入力から読みます。コマンドの引数には書けません。引数は記録や履歴に残るためです。",
		Args: exactly(1, oneReader),
		RunE: func(cmd *cobra.Command, args []string) error {
			var text string
			if _, err := fmt.Fscan(cmd.InOrStdin(), &text); err != nil {
				return fmt.Errorf("read the key: %w", err)
			}
			return work(cmd, func(_ context.Context, w *agent.Workshop) error { return w.CardKey(args[0], text) })
		},
	}
}

func templateCommand(work working, use, short string, act func(*agent.Workshop, context.Context, string, uint16) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " <読取装置> <登録場所>", Short: short,
		Args: exactly(2, "読取装置の名前と、登録場所の番号(1 から)を書いてください"),
		RunE: func(cmd *cobra.Command, args []string) error {
			slot, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil || slot == 0 {
				return fmt.Errorf("登録場所の %q は 1 から 65535 の番号ではありません (a slot is a number from 1)", args[1])
			}
			return work(cmd, func(ctx context.Context, w *agent.Workshop) error { return act(w, ctx, args[0], uint16(slot)) })
		},
	}
}

func wipeCommand(work working) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "wipe <読取装置>", Short: "指の登録を全部消し、消えたことを確かめる (delete every finger)", Args: exactly(1, oneReader),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return errors.New("登録を全部消します。元に戻せません。よければ --yes を付けてください (add --yes to delete every template)")
			}
			return work(cmd, func(ctx context.Context, w *agent.Workshop) error { return w.Wipe(ctx, args[0]) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "本当に全部消す (yes, all of them)")
	return cmd
}

func countCommand(work working) *cobra.Command {
	return &cobra.Command{
		Use: "count <読取装置>", Short: "指の登録の数と場所 (how many templates, and where)", Args: exactly(1, oneReader),
		RunE: func(cmd *cobra.Command, args []string) error {
			return work(cmd, func(ctx context.Context, w *agent.Workshop) error { return w.Count(ctx, args[0]) })
		},
	}
}

const oneReader = "読取装置の名前を一つ書いてください(sekimori-agent readers list で分かります)"

func exactly(n int, otherwise string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%s\n`%s --help` で使い方を見てください", otherwise, cmd.CommandPath())
		}
		return nil
	}
}
