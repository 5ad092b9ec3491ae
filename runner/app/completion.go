package app

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// bareBash is what the completion script takes from the package bash-completion,
// for shells that lack it: the words of the line up to the cursor.
const bareBash = `
declare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() {
    local line=${COMP_LINE:0:COMP_POINT}
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    cword=$((${#words[@]} - 1)) cur=${words[-1]} prev=${words[-2]-}
}
`

func (a *app) completionCmd() *cobra.Command {
	shells := map[string]func(root *cobra.Command, w io.Writer) error{
		"bash": func(root *cobra.Command, w io.Writer) error {
			if err := root.GenBashCompletionV2(w, true); err != nil {
				return err
			}
			_, err := io.WriteString(w, bareBash)
			return err
		},
		"zsh":  func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
		"fish": func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script with which the shell completes commands, flags, files, runs, tags and kinds",
		Long: `Prints a script for your shell. Once for the shell at hand, or for good:

  source <(squall completion bash)      echo 'source <(squall completion bash)' >>~/.bashrc
  source <(squall completion zsh)       squall completion zsh >"${fpath[1]}/_squall"
  squall completion fish | source       squall completion fish >~/.config/fish/completions/squall.fish`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(c *cobra.Command, args []string) error {
			write, known := shells[args[0]]
			if !known {
				return usage("completion %q: want bash, zsh or fish", args[0])
			}
			if err := write(c.Root(), a.Stdout); err != nil {
				return fmt.Errorf("completion: %w", err)
			}
			return nil
		},
	}
}
