package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/reports/live"
	"squall/runner/gameday"
	"squall/runner/record"
	"squall/scenarios/spec"
)

func (a *app) gamedayVerifyCmd() *cobra.Command {
	var head string
	c := &cobra.Command{
		Use:   "verify DIR",
		Short: "Is the record as it was written? Names the first line that was edited",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dirs := []string{args[0]}
			subs, err := filepath.Glob(filepath.Join(globEscape(args[0]), "steps", "*"))
			if err != nil {
				return err
			}
			for i, dir := range append(dirs, subs...) {
				v, err := record.Verify(dir)
				if err != nil {
					return exitError{code: ExitFail, err: err}
				}
				if i == 0 && head != "" && v.Head != head {
					return exitError{code: ExitFail, err: fmt.Errorf("%s: it ends with %s, not with %s: it was rewritten, or cut", dir, v.Head, head)}
				}
				ended := ""
				if !v.Ended {
					ended = ", without an end: its runner died"
				}
				fmt.Fprintf(a.Stdout, "%s: %d entries as they were written%s, head %s\n", dir, v.Entries, ended, v.Head)
			}
			return nil
		},
	}
	c.Flags().StringVar(&head, "head", "", "the head that was noted when the day ended")
	return c
}

// savedDay reads the run directory of a day with the inputs that it keeps.
func savedDay(dir string) (*record.Run, *spec.GameDay, error) {
	run, err := record.Open(dir)
	if err != nil {
		return nil, nil, exitError{code: ExitUsage, err: err}
	}
	day, problems := spec.LoadGameDay(filepath.Join(dir, "input", filepath.FromSlash(run.Header.Input)))
	if day == nil || len(problems) > 0 {
		return nil, nil, exitError{code: ExitUsage, err: problems}
	}
	return run, day, nil
}

func (a *app) writeDayReport(dir string) error {
	run, day, err := savedDay(dir)
	if err != nil {
		return err
	}
	r := gameday.ReportOf(run, day)
	return errors.Join(
		writeJSON(filepath.Join(dir, "gameday.json"), r),
		writeFile(filepath.Join(dir, "report.html"), func(w io.Writer) error { return r.HTML(w) }),
		writeFile(filepath.Join(dir, "summary.md"), func(w io.Writer) error { return r.Markdown(w) }),
	)
}

func (a *app) gamedayReportCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "report DIR",
		Short: "Write the report of a saved day again: timeline, decisions, reaction times, playbooks, surprises, action items",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.writeDayReport(args[0]); err != nil {
				return err
			}
			run, day, err := savedDay(args[0])
			if err != nil {
				return err
			}
			return gameday.ReportOf(run, day).Markdown(a.Stdout)
		},
	}
}

func (a *app) gamedayReplayCmd() *cobra.Command {
	var pace float64
	c := &cobra.Command{
		Use:   "replay DIR",
		Short: "Show a saved day on the live page, at any pace",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if pace <= 0 {
				return usage("--pace wants a number above 0, such as 10 for ten times as fast")
			}
			return a.replay(c.Context(), args[0], pace)
		},
	}
	c.Flags().Float64Var(&pace, "pace", 1, "how many times as fast as it was")
	return c
}

// replay writes the record anew, line by line, to a folder that the live page follows.
func (a *app) replay(ctx context.Context, dir string, pace float64) error {
	run, day, err := savedDay(dir)
	if err != nil {
		return err
	}
	if _, err := record.Verify(dir); err != nil {
		return exitError{code: ExitFail, err: err}
	}
	folder, err := os.MkdirTemp("", "squall-replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	feed, err := newReplay(run, folder)
	if err != nil {
		return err
	}
	defer feed.Close()
	events := live.NewEntries(folder)
	defer events.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	token := gameday.Token()
	server := gameday.NewServer(gameday.ServerConfig{
		Operator: gameday.Token(), Observer: token, Hosts: hostsOf(l.Addr().String()),
		Day: dayPage{Name: day.Metadata.Name, Title: day.Metadata.Title, Replay: true, Pace: pace, Spec: pageOf(day)}, Events: events, Files: dayFiles(dir),
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l, nil) }()
	fmt.Fprintf(a.Stdout, "replay     http://%s/#%s\n", l.Addr(), token)
	err = feed.play(ctx, pace)
	if err == nil {
		fmt.Fprintln(a.Stdout, "that was all; end with Ctrl-C")
		<-ctx.Done()
	}
	err = errors.Join(ignoreDone(err), server.Close(), <-served)
	return err
}

func ignoreDone(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// replayFeed writes the main stream of a saved run at a pace of its own.
type replayFeed struct {
	lines [][]byte
	at    []time.Duration
	out   *os.File
}

func newReplay(run *record.Run, folder string) (*replayFeed, error) {
	data, err := os.ReadFile(filepath.Join(run.Dir, string(record.Main)+".ndjson"))
	if err != nil {
		return nil, err
	}
	f := &replayFeed{}
	for i, line := range strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n") {
		f.lines = append(f.lines, []byte(strings.TrimSuffix(line, "\n")+"\n"))
		f.at = append(f.at, run.Entries[i].T)
	}
	for _, s := range []record.Stream{record.Metrics, record.Wire, record.Ops, record.Audit, record.Spans} {
		if err := os.WriteFile(filepath.Join(folder, string(s)+".ndjson"), nil, 0o600); err != nil {
			return nil, err
		}
	}
	f.out, err = os.Create(filepath.Join(folder, string(record.Main)+".ndjson"))
	if err == nil {
		_, err = f.out.Write(f.lines[0]) // a run without a header is none
	}
	return f, err
}

func (f *replayFeed) Close() error { return f.out.Close() }

func (f *replayFeed) play(ctx context.Context, pace float64) error {
	begun := time.Now()
	for i := 1; i < len(f.lines); i++ {
		t := time.NewTimer(time.Until(begun.Add(time.Duration(float64(f.at[i]) / pace))))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		if _, err := f.out.Write(f.lines[i]); err != nil {
			return err
		}
	}
	return nil
}

// dayPage is what the live page is told of a day.
type dayPage struct {
	Name    string        `json:"name"`
	Title   string        `json:"title"`
	Replay  bool          `json:"replay,omitempty"`
	Pace    float64       `json:"pace,omitempty"`
	Dry     bool          `json:"dry,omitempty"`
	Hash    string        `json:"hash,omitempty"`
	Plan    *gameday.Plan `json:"plan,omitempty"`
	Spec    daySpec       `json:"spec"`
	Command string        `json:"heal,omitempty"` // undoes everything by hand
	Dir     string        `json:"dir,omitempty"`  // of the run
}

// daySpec is the part of a day's file that people look at.
type daySpec struct {
	Objectives []string          `json:"objectives"`
	Roles      map[string]string `json:"roles,omitempty"`
	Contacts   []spec.Contact    `json:"contacts,omitempty"`
	Playbooks  []dayPlaybook     `json:"playbooks,omitempty"`
	Steps      []dayStep         `json:"steps"`
}

type dayPlaybook struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Signals  []string `json:"signals"`
	Steps    []string `json:"steps"`
	Escalate string   `json:"escalate,omitempty"`
}

type dayStep struct {
	ID       string  `json:"id"`
	Does     string  `json:"does"`
	Says     string  `json:"says"`
	Longest  float64 `json:"longest,omitempty"` // seconds
	Until    string  `json:"until,omitempty"`
	Playbook string  `json:"playbook,omitempty"`
}

func pageOf(day *spec.GameDay) daySpec {
	out := daySpec{Objectives: day.Spec.Objectives, Roles: day.Spec.Roles, Contacts: day.Spec.Contacts}
	for _, p := range day.Spec.Playbooks {
		b := dayPlaybook{ID: p.ID, Title: p.Title, Steps: p.Steps, Escalate: p.Escalate}
		for _, s := range p.Signals {
			b.Signals = append(b.Signals, s.ID)
		}
		out.Playbooks = append(out.Playbooks, b)
	}
	for _, s := range day.Spec.Steps {
		says := s.Title
		if s.Wait != "" {
			says = s.Wait
		}
		out.Steps = append(out.Steps, dayStep{s.ID, s.Does(), says, s.Length().Seconds(), s.Until, s.Playbook})
	}
	return out
}

func (d *dayRun) page() dayPage {
	return dayPage{Name: d.plan.Day, Title: d.plan.Title, Dry: d.f.dryRun, Hash: d.plan.Hash(), Plan: d.plan, Spec: pageOf(d.in.Day), Command: d.healCommand(), Dir: d.dir}
}

func (d *dayRun) pageFiles() map[string]func() ([]byte, string, error) { return dayFiles(d.dir) }

// dayFiles are the reports of a day and of its scenarios, by name.
func dayFiles(dir string) map[string]func() ([]byte, string, error) {
	read := func(path string) func() ([]byte, string, error) {
		return func() ([]byte, string, error) {
			data, err := os.ReadFile(filepath.Join(dir, path))
			return data, "text/html; charset=utf-8", err
		}
	}
	out := map[string]func() ([]byte, string, error){"report.html": read("report.html")}
	if run, day, err := savedDay(dir); err == nil && run != nil {
		for _, s := range day.Spec.Steps {
			if s.Scenario != "" {
				out["steps/"+s.ID+".html"] = read(filepath.Join("steps", s.ID, "report.html"))
			}
		}
	}
	return out
}
