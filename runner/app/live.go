package app

import (
	"context"
	"fmt"

	"squall/reports/live"
	"squall/runner/record"
	"squall/runner/verdict"
)

// serveLive starts the server of live pages; nil where none is asked for.
func (a *app) serveLive(addr string) (*live.Server, error) {
	if addr == "" {
		return nil, nil
	}
	s, err := live.Serve(addr)
	if err != nil {
		return nil, exitError{code: ExitUsage, err: err}
	}
	fmt.Fprintf(a.Stderr, "live  %s\n", s.URL())
	return s, nil
}

// showLive adds the page of this run. It judges the record by a judge of its own.
func (r *oneRun) showLive(ctx context.Context) {
	if r.pages == nil {
		return
	}
	judge := r.in.judge()
	r.pages.Add(r.name, live.New(r.dir, live.Options{
		Scenario: r.in.scenario, System: r.in.system,
		Judge: func(_ context.Context, run *record.Run) verdict.Result {
			return judge.Judge(context.WithoutCancel(ctx), run)
		},
	}))
}
