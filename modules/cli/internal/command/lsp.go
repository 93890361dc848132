package command

import (
	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/lsp"
	"github.com/containust/containust/modules/lang/format"
	"github.com/containust/containust/modules/sdk"
)

func newLSP(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "lsp",
		Short: "Serve an editor that speaks the Language Server Protocol",
		Long: `lsp answers an editor on standard input and output: what is wrong while you type,
completion, documentation, definitions, renaming. Editors start it themselves;
docs/editors.md says how. It reads files only: no image, no secret, no network.`,
		Example: examples("ctst lsp", "ctst --log-level debug lsp   # what is said, on standard error"),
		Args:    arguments(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := sdk.CacheDir()
			if err != nil {
				a.logger().Debug("cache", "error", err) // then nothing is known of imports over https
			}
			return lsp.Serve(cmd.Context(), a.Stdin, a.Stdout, lsp.Options{
				LookupEnv: a.LookupEnv, Format: format.Source, CacheDir: cache,
				Version: readVersion().Version, Logger: a.logger(),
			})
		},
	}
}
