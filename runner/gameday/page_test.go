package gameday

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

// pageDay is what the page is told of a day with one step and its playbook.
const pageDay = `{"name": "small-day", "heal": "squall heal", "dir": "out/small-day", "spec": {"objectives": ["x"],
 "steps": [{"id": "ready", "does": "wait", "says": "Is everybody there?"}, {"id": "away", "does": "fault", "says": "gone", "longest": 60, "playbook": "p"}],
 "playbooks": [{"id": "p", "title": "Calls fail", "signals": ["failing"], "steps": ["Look.", "Call."]}]}}`

// browsed is a live page in a browser. What it does with the record it is told here.
type browsed struct {
	t      *testing.T
	ctx    context.Context
	server *Server
	lines  chan string // of the stream; closed: the day is over
	seq    int

	mu      sync.Mutex
	said    []Command
	written bool // the report
	errors  []string
}

func browse(t *testing.T, token, day string) *browsed {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine: apt-get install chromium")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &browsed{t: t, lines: make(chan string, 100)}
	b.server = NewServer(ServerConfig{
		Operator: opToken, Observer: obsToken, Hosts: []string{l.Addr().String()},
		Say: b.hear, Day: json.RawMessage(day), Events: http.HandlerFunc(b.stream),
		Files: map[string]func() ([]byte, string, error){report: b.report},
	})
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(l, nil) }()
	t.Cleanup(func() {
		assert.NoError(t, b.server.Close())
		assert.NoError(t, <-served)
	})

	all, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true))...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(all)
	t.Cleanup(cancel)
	b.ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(b.ctx))
	require.NoError(t, chromedp.Listen(b.ctx, func(e any) {
		if e, ok := e.(*runtime.EventExceptionThrown); ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.errors = append(b.errors, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
		}
	}))
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Navigate("http://"+l.Addr().String()+"/#"+token)))
	b.sees(`document.getElementById("state").textContent === "goes on" && location.hash === ""`)
	return b
}

func (b *browsed) hear(c Command) error {
	if err := c.Check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, c)
	return nil
}

func (b *browsed) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case line, more := <-b.lines:
			if !more {
				fmt.Fprint(w, "event: end\ndata: {}\n\n")
				return
			}
			fmt.Fprintf(w, "data: %s\n\n", line)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func (b *browsed) report() ([]byte, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.written {
		return nil, "", fmt.Errorf("it is being written")
	}
	return []byte("<!doctype html><h1>Report of the day</h1>"), "text/html", nil
}

// tell gives the page one entry of the record.
func (b *browsed) tell(kind string, data any) {
	b.t.Helper()
	text, err := json.Marshal(map[string]any{"seq": b.seq, "t": b.seq * int(time.Second), "type": kind, "data": data})
	require.NoError(b.t, err)
	b.seq++
	b.lines <- string(text)
}

// sees waits until something is so on the page.
func (b *browsed) sees(expr string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expr))
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NoError(b.t, err, "%s: %v", expr, b.errors)
	require.Empty(b.t, b.errors)
}

func (b *browsed) does(script string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Evaluate[*runtime.RemoteObject](script))
	require.NoError(b.t, err)
}

func (b *browsed) heard() []Command {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Command(nil), b.said...)
}

const (
	value = `(document.querySelector("#watches tbody tr:only-child td:nth-child(2)") || {})`
	press = `document.querySelector("[data-what=%s]").click()`
)

// Whoever has the operator's link sees how it goes, acts, and has the report in
// the end, also where the runner is in a hurry.
func TestPage(t *testing.T) {
	b := browse(t, opToken, pageDay)
	b.sees(`document.getElementById("people-section").hidden`) // the day names nobody
	b.sees(`document.getElementById("watches").innerText.includes("once the steady state has held")`)
	b.sees(`document.querySelector("[data-what=go]").disabled && !document.querySelector("[data-what=abort]").disabled`)
	b.tell("step", record.Step{ID: "ready", Does: "wait", State: record.StepBegun})
	b.sees(`document.getElementById("now-says").textContent === "Is everybody there?" && document.getElementById("next").textContent === "next: away"`)
	b.does(fmt.Sprintf(press, "go"))
	b.sees(`document.getElementById("answer").textContent.includes("Who are you?")`)
	assert.Empty(t, b.heard(), "nobody said it")
	b.does(`document.getElementById("author").value = "ana"; ` + fmt.Sprintf(press, "go"))
	b.tell("step", record.Step{ID: "ready", State: record.StepDone})
	b.tell("step", record.Step{ID: "away", Does: "fault", State: record.StepBegun})
	b.tell("fault", record.Fault{ID: "away", Kind: "net-down", On: "a -> b", State: record.FaultBiting, Receipt: &record.Receipt{Hits: 7, Unit: "requests"}})
	b.sees(`document.getElementById("faults").innerText.includes("7 requests") && receipt({ hits: 1, unit: "processes" }) === "1 process" && !document.querySelector("[data-what=mitigated]").disabled`)
	b.sees(`document.getElementById("countdown").textContent.endsWith("left") && !document.getElementById("playbook-section").hidden`)

	watch := func(state, measured string) {
		b.tell("watch", record.Watch{ID: "failing", Group: "signal", State: state, Bound: "at most 1", Measured: measured})
	}
	watch("crossed", "40")
	b.sees(value + `.textContent === "40" && ` + value + `.className === "bad"`)
	watch("kept", "0")
	b.sees(value + `.textContent === "0" && ` + value + `.className === "good"`)
	watch("crossed", "39")
	b.sees(value + `.className === "bad"`)

	b.does(`document.querySelector("#playbook li:nth-child(2) button").click()`)
	b.does(`document.getElementById("note-text").value = "<img src=x onerror=boom()>"; document.querySelector("[data-kind=note]").click()`)
	b.does(fmt.Sprintf(press, "abort"))
	b.sees(`document.getElementById("answer").textContent === ""`)
	require.Eventually(t, func() bool { return len(b.heard()) == 4 }, 30*time.Second, 10*time.Millisecond)
	assert.ElementsMatch(t, []Command{{What: Go, Author: "ana"}, {What: Did, Author: "ana", N: 2},
		{What: Note, Author: "ana", Text: "<img src=x onerror=boom()>"}, {What: Abort, Author: "ana"}}, b.heard())
	b.tell("mark", record.Mark{What: Did, Author: "ana", N: 2, Text: "Call."})
	b.sees(`document.querySelectorAll("#playbook button").length === 1 && document.querySelector("#playbook li:nth-child(2)").className === "did"`)
	b.tell("note", record.Note{Author: "ben", Text: "<img src=x onerror=boom()>"})
	b.sees(`document.getElementById("timeline").innerText.includes("<img src=x") && !document.querySelector("#timeline img")`)

	b.tell("end", record.End{Reason: record.EndAborted, Error: "aborted by ana"})
	b.sees(value + `.className === "dim" && document.getElementById("watched").textContent === "at the end"`)
	b.sees(`document.getElementById("now-says").textContent === "aborted by ana" && document.querySelector("[data-what=abort]").disabled`)
	close(b.lines)
	b.mu.Lock()
	b.written = true
	b.mu.Unlock()
	require.NoError(t, b.server.Close()) // as the runner does then
	require.Eventually(t, func() bool {
		there, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.body.innerText.includes("Report of the day")`))
		return err == nil && there // asked while it changes, it answers with an error
	}, 30*time.Second, 50*time.Millisecond)
}

// What is not healed stays on the page, with the command to run.
func TestPageOfWhatIsNotHealed(t *testing.T) {
	const people = `"spec": {"roles": {"lead": "Ana"}, "contacts": [{"Name": "Team back", "Reach": "#back", "For": "back"}], `
	b := browse(t, obsToken, strings.Replace(pageDay, `"spec": {`, people, 1))
	b.sees(`document.getElementById("people").innerText === "lead: Ana\nTeam back: #back (back)"`)
	b.sees(`document.getElementById("acts").hidden && document.getElementById("note").hidden`) // observers look
	b.written = true
	b.tell("fault", record.Fault{ID: "away", Kind: "proc-kill", On: "b", State: record.FaultFailed, Error: "revert: no quota"})
	b.tell("step", record.Step{ID: "away", State: record.StepFailed, Error: "revert fault away: revert: no quota"})
	b.tell("end", record.End{Reason: record.EndError, Error: "revert fault away: revert: no quota", Dirty: []string{"revert: no quota"}})
	close(b.lines)
	b.sees(`document.getElementById("state").textContent === "NOT HEALED" && document.getElementById("now-says").textContent === "revert: no quota"`)
	b.sees(`document.getElementById("next").textContent === "The report is in out/small-day" && document.getElementById("heal").textContent === "squall heal"`)
	b.sees(`document.getElementById("timeline").innerText.split("no quota").length === 2`) // once, with its fault
}
