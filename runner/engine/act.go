package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"squall/runner/plan"
	"squall/runner/probe"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// aimed is an act with all addresses filled in, and whom it asks.
type aimed struct {
	on  string
	act probe.Act
}

// act does a step of the scenario. One that fails ends the run, as a fault that
// cannot be injected does: what was to be tried has not been tried.
func (e *engine) act(ctx context.Context, a *plan.Action) error {
	step := record.Step{ID: a.ID, Does: a.Says, State: record.StepBegun}
	if err := e.Record.Append(record.TypeStep, step); err != nil {
		return err
	}
	var failed error
	for _, t := range e.aim(a.Act) {
		p := t.act.Do(ctx)
		step.Text = p.Text
		if why := verdict.Refused(a.Act, p); why != "" {
			failed = errors.Join(failed, fmt.Errorf("%s: %s", t.on, why))
		}
	}
	step.State = record.StepDone
	if failed != nil {
		step.State, step.Error = record.StepFailed, failed.Error()
		failed = fmt.Errorf("step %s: %w", a.ID, failed)
	}
	return errors.Join(failed, e.Record.Append(record.TypeStep, step))
}

// watches are the looks at the system that the assertions want in a phase: from
// when the faults that begin with it are in until those that end with it are to
// be reverted. A look between would see either.
type watches struct {
	wg    sync.WaitGroup
	begun chan struct{}
	begin func()             // the first faults are in
	calm  context.CancelFunc // no more looks again and again
	abort context.CancelFunc
}

// end ends the looks that come again and again. What is looked at once comes to
// its end, unless the phase failed.
func (w *watches) end(failed bool) {
	w.calm()
	if failed {
		w.abort()
	}
	w.wg.Wait()
	w.abort()
}

func (e *engine) prepareWatches(ctx context.Context, phase string) *watches {
	w := &watches{begun: make(chan struct{})}
	w.begin = sync.OnceFunc(func() { close(w.begun) })
	whole, abort := context.WithCancel(ctx)
	again, cancel := context.WithCancel(whole)
	w.calm, w.abort = cancel, abort
	start := time.Now()
	for _, l := range e.Judge.Looks() {
		if !l.In(phase) {
			continue
		}
		for _, t := range e.aim(l.Act) {
			w.wg.Go(func() {
				select {
				case <-again.Done():
					return
				case <-w.begun:
				}
				if l.Every == 0 {
					e.lookOnce(whole, again, start.Add(l.At), l, t)
				} else {
					e.lookAgain(again, l, t)
				}
			})
		}
	}
	return w
}

// lookOnce looks at the planned instant, or not at all where the phase ends before.
func (e *engine) lookOnce(ctx, phase context.Context, at time.Time, l verdict.Look, t aimed) {
	select {
	case <-phase.Done():
	case <-time.After(time.Until(at)):
		e.putProbe(ctx, l, t)
	}
}

func (e *engine) lookAgain(ctx context.Context, l verdict.Look, t aimed) {
	tick := time.NewTicker(l.Every)
	defer tick.Stop()
	for {
		e.putProbe(ctx, l, t)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// putProbe looks and records; a look that was cut off shows nothing.
func (e *engine) putProbe(ctx context.Context, l verdict.Look, t aimed) {
	p := t.act.Do(ctx)
	if ctx.Err() != nil {
		return
	}
	p.Name, p.On = l.Name, t.on
	_ = e.Record.Append(record.TypeProbe, p) // a failed write is kept by the writer as a gap
}

// aim fills in the addresses of an act: one for each instance that it is aimed at.
func (e *engine) aim(a spec.Act) []aimed {
	switch {
	case a.HTTP != nil:
		return e.aimHTTP(*a.HTTP)
	case a.Command != nil:
		return []aimed{{a.Command.Run[0], e.command(*a.Command)}}
	case a.SQL != nil:
		return []aimed{{cmp.Or(a.SQL.Service, "$"+a.SQL.Env), e.sql(*a.SQL)}}
	}
	return nil
}

func (e *engine) aimHTTP(h spec.HTTPAct) (out []aimed) {
	to := func(on, base string) {
		out = append(out, aimed{on, probe.HTTP{Method: h.Method, URL: base + h.Path, Header: h.Header, Body: h.Body, Timeout: time.Duration(h.Timeout)}})
	}
	if h.Edge != "" {
		edge := e.System.EdgesNamed(h.Edge)[0]
		first, _, _ := strings.Cut(e.Env.ClientEnv()[edge.Env], ",")
		to(h.Edge, first)
		return out
	}
	for _, name := range e.System.Instances(h.Service) {
		to(name, "http://"+e.port(name, cmp.Or(h.Port, e.System.Spec.Services[name].Port)))
	}
	return out
}

// port is host:port of an instance, past its proxies.
func (e *engine) port(instance, port string) string {
	for _, s := range e.Env.Services() {
		if s.Name == instance {
			return s.Ports[port]
		}
	}
	return ""
}

func (e *engine) command(c spec.CommandAct) probe.Command {
	dir := filepath.Dir(e.Scenario.File)
	expand := func(text string) string {
		return c.Expand(text, func(service, port string) string {
			var all []string
			for _, name := range e.System.Instances(service) {
				all = append(all, e.port(name, port))
			}
			return strings.Join(all, ",")
		})
	}
	out := probe.Command{Dir: dir, Timeout: time.Duration(c.Timeout), Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}}
	for _, arg := range c.Run {
		out.Run = append(out.Run, expand(arg))
	}
	if strings.ContainsRune(out.Run[0], filepath.Separator) && !filepath.IsAbs(out.Run[0]) {
		if abs, err := filepath.Abs(filepath.Join(dir, out.Run[0])); err == nil {
			out.Run[0] = abs
		}
	}
	for key, value := range c.Env {
		out.Env = append(out.Env, key+"="+expand(value))
	}
	slices.Sort(out.Env)
	return out
}

func (e *engine) sql(q spec.SQLAct) probe.SQL {
	out := probe.SQL{Query: q.Query, Timeout: time.Duration(q.Timeout)}
	if q.Service == "" {
		out.DSNs = []string{os.Getenv(q.Env)}
		return out
	}
	for _, name := range e.System.Instances(q.Service) {
		db := e.System.Spec.Services[name].Database
		address := url.URL{Scheme: "postgres", Host: e.port(name, q.Port), User: url.User(db.User), Path: "/" + db.Name}
		if db.PasswordEnv != "" {
			address.User = url.UserPassword(db.User, os.Getenv(db.PasswordEnv))
		}
		if _, _, err := net.SplitHostPort(address.Host); err == nil {
			address.RawQuery = "sslmode=" + db.TLS
			out.DSNs = append(out.DSNs, address.String())
		}
	}
	return out
}
