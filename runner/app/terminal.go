package app

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	tea "charm.land/bubbletea/v2"

	"squall/reports"
	"squall/runner/record"
)

// lookAt is how often the terminal reads the record.
const lookAt = 100 * time.Millisecond

// picture draws the live view of a run that goes on.
type picture func(run *record.Run, elapsed time.Duration, width int, colour bool) string

// follow prints the record as it grows until stop is called.
func (a *app) follow(dir, name string, draw picture, alone bool) *terminal {
	t := &terminal{app: a, dir: dir, name: name, draw: draw, done: make(chan struct{}), ended: make(chan struct{})}
	if !alone {
		t.prefix = name + "  "
	}
	if screen := a.screen(); screen != nil && alone && a.live() {
		t.watch = watch(screen)
	}
	go t.loop()
	return t
}

func (t *terminal) stop() {
	close(t.done)
	<-t.ended
}

// say prints a line above the live view, if there is one.
func (t *terminal) say(line string) {
	if t.watch != nil && t.watch.there() {
		t.watch.program.Println(line)
	} else {
		fmt.Fprintln(t.Stdout, line)
	}
}

// screen is the file behind standard output; nil where that is none.
func (a *app) screen() *os.File {
	out, _ := a.Stdout.(*lockedWriter)
	if out == nil {
		return nil
	}
	f, _ := out.w.(*os.File)
	return f
}

// terminal is a reader of the record like any other.
type terminal struct {
	*app
	dir, name   string
	prefix      string
	draw        picture
	watch       *watcher // a live view below the events; nil: none
	run         *record.Run
	shown       int
	done, ended chan struct{}
}

func (t *terminal) loop() {
	defer close(t.ended)
	tick := time.NewTicker(lookAt)
	defer tick.Stop()
	for {
		select {
		case <-t.done:
			t.show()
			t.watch.end()
			return
		case <-tick.C:
			t.show()
		}
	}
}

func (t *terminal) show() {
	if t.run == nil {
		run, err := record.Open(t.dir)
		if err != nil {
			return // the header is not there yet
		}
		t.run = run
	} else if err := t.run.Refresh(); err != nil {
		return // judged, and reported, when the run is over
	}
	for ; t.shown < len(t.run.Entries); t.shown++ {
		t.entry(t.run.Entries[t.shown])
	}
	if t.watch != nil {
		t.watch.show(t.draw(t.run, time.Since(t.run.Header.Started), int(t.watch.width.Load()), t.colour()))
	}
}

func (t *terminal) entry(e record.Entry) {
	if t.output == "json" {
		_ = writeJSONLine(t.Stdout, struct {
			Run string `json:"run"`
			record.Entry
		}{t.name, e})
		return
	}
	if line := reports.Event(e, t.colour()); line != "" {
		t.say(t.prefix + line)
	}
}

// watcher is the live view of a terminal. It reads no input, so the terminal
// stays as it is and Ctrl-C remains the signal that heals.
type watcher struct {
	program *tea.Program
	width   atomic.Int64 // of the terminal
	drawn   chan struct{}
	ended   chan struct{}
}

// firstView is what the live view shows before there is a record.
const firstView = "starting"

func watch(out *os.File) *watcher {
	w := &watcher{drawn: make(chan struct{}), ended: make(chan struct{})}
	w.width.Store(80)
	first := sync.OnceFunc(func() { close(w.drawn) })
	w.program = tea.NewProgram(view{text: firstView, width: &w.width}, tea.WithInput(nil), tea.WithOutput(unasked{out, first}), tea.WithoutSignalHandler(), tea.WithFPS(10))
	go func() {
		defer close(w.ended)
		_, _ = w.program.Run() // without a view the run goes on all the same
	}()
	return w
}

func (w *watcher) show(text string) { w.program.Send(drawn(text)) }

// there waits until the view is on the screen, or has ended. Lines that are put
// above a view before its first picture wipe what else is on the screen: bubbletea
// takes the view for as high as that.
func (w *watcher) there() bool {
	select {
	case <-w.drawn:
		return true
	case <-w.ended:
		return false
	}
}

// end wipes the view and gives the terminal back.
func (w *watcher) end() {
	if w == nil {
		return
	}
	w.show("")
	w.program.Quit()
	<-w.ended
}

// drawn is a message with what to show.
type drawn string

// view is the model of the live view.
type view struct {
	text  string
	width *atomic.Int64
}

func (v view) Init() tea.Cmd { return nil }

func (v view) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		v.width.Store(int64(m.Width))
	case drawn:
		v.text = string(m)
	}
	return v, nil
}

func (v view) View() tea.View { return tea.NewView(v.text) }

// unasked asks the terminal nothing: nobody reads its answers, which would be
// typed into the user's shell. It tells when the first picture is out.
type unasked struct {
	*os.File
	first func()
}

var questions = [][]byte{[]byte("\x1b[?2026$p"), []byte("\x1b[?2027$p")}

func (u unasked) Write(b []byte) (int, error) {
	asked := b
	for _, q := range questions {
		asked = bytes.ReplaceAll(asked, q, nil)
	}
	if _, err := u.File.Write(asked); err != nil {
		return 0, err
	}
	if bytes.Contains(b, []byte(firstView)) {
		u.first()
	}
	return len(b), nil
}
