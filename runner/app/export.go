package app

import (
	"io"

	"github.com/spf13/cobra"

	"squall/reports"
	"squall/runner/record"
)

func (a *app) exportCmd() *cobra.Command {
	var out string
	formats := map[string]func(io.Writer, *record.Run) error{
		"prometheus": reports.ExportPrometheus, "otlp": reports.ExportOTLP, "csv": reports.ExportCSV,
	}
	c := &cobra.Command{
		Use:   "export prometheus|otlp|csv RUN",
		Short: "Write what a saved run measured, for Prometheus, an OpenTelemetry collector or a spreadsheet",
		Long: `prometheus: OpenMetrics with timestamps; promtool tsdb create-blocks-from openmetrics FILE DIR makes blocks of it, which
Prometheus and Grafana open. It has no native histograms, so they become classic ones.
otlp: OTLP/JSON, a request a line, as the collector's otlpjsonfile receiver reads it: metrics, spans, and calls of traces as the wire saw them.
csv: a row for each sample; of histograms count and sum.`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			export, known := formats[args[0]]
			if !known {
				return usage("export %q: want prometheus, otlp or csv", args[0])
			}
			run, err := record.Open(args[1])
			if err != nil {
				return exitError{code: ExitUsage, err: err}
			}
			if out == "-" {
				return export(a.Stdout, run)
			}
			return writeFile(out, func(w io.Writer) error { return export(w, run) })
		},
	}
	c.Flags().StringVarP(&out, "file", "f", "-", "file to write, - for standard output")
	return c
}
