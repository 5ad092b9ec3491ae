package app

import (
	"os"

	"github.com/spf13/cobra"

	"squall/reports"
)

func (a *app) historyCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "history FILE",
		Short: "What is new in a history that squall run --history keeps: failing, flaky, margin lost",
		Long: `The file has a JSON line for each scenario of each suite; keep it in your repository. A line of marks is the past of a scenario,
oldest first. Newly failing: it passed the time before. Newly flaky: within ten runs it passed, did not, and passed again.
Margin lost: an assertion has less than half of the room to its bound that it usually had, and less than ever in the last eight.
--output json writes the trends as JSON.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return exitError{code: ExitUsage, err: err}
			}
			past, err := reports.ReadHistory(args[0])
			if err != nil {
				return exitError{code: ExitUsage, err: err}
			}
			if a.output == "json" {
				return writeJSONLine(a.Stdout, reports.Trends(past))
			}
			return reports.HistoryText(a.Stdout, reports.Trends(past))
		},
	}
}
