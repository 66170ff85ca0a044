package main

import (
	"github.com/spf13/cobra"

	"sekimori/hub"
)

func exportCommand(load loader) *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "台帳と管理簿を JSON 行で書き出す (export ledger and registers as JSON lines)",
		Long: "台帳の全行と管理簿の全行を、1行に1件の JSON で標準出力に書きます。--store で写しの場所を示します。動いているハブの台帳も読めます。\n" +
			"カード番号は下4桁だけです。署名は含まないので、検証には verify を使います。",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			return hub.Export(cmd.Context(), s, store, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&store, "store", "", "書き出す台帳の写し(既定は設定の台帳) (copy of hub.db)")
	return cmd
}
