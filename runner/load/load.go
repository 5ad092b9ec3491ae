// Package load drives k6 and turns its stream into lines of the record.
//
// k6 is a process of its own (it is AGPL-3.0, and it must not share our
// scheduler). It streams over a pipe that it inherits, so there is no socket to
// leave behind, and both sides notice at once when the other dies.
package load

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"squall/runner/record"
)

// Config is one run of the generator.
type Config struct {
	Binary   string            // k6 with the squall extension
	Script   string            // path of the k6 script
	Env      map[string]string // all that the script finds in __ENV, besides SQUALL_*
	Arrival  float64           // iterations per second, before the first stage
	Stages   []record.Stage    // changes of that, in order
	Duration time.Duration     // longest; Stop ends it earlier
	Seed     uint64
	Grace    time.Duration // between SIGINT and SIGKILL; 0: five seconds
}

// peak is the highest arrival rate.
func (c Config) peak() float64 {
	most := c.Arrival
	for _, s := range c.Stages {
		most = max(most, s.Arrival)
	}
	return most
}

// stages are the arrival rates as k6's ramping-arrival-rate executor wants them
// with a timeUnit of a minute: each is jumped to, and held.
func (c Config) stages() string {
	type stage struct {
		Target   int64  `json:"target"` // iterations per minute
		Duration string `json:"duration"`
	}
	var out []stage
	hold := func(rate float64, d time.Duration) {
		target := int64(math.Round(rate * 60))
		out = append(out, stage{target, "0s"}, stage{target, fmt.Sprintf("%dms", d.Milliseconds())})
	}
	rate, since := c.Arrival, time.Duration(0)
	for _, s := range c.Stages {
		hold(rate, s.At-since)
		rate, since = s.Arrival, s.At
	}
	hold(rate, c.Duration-since)
	text, err := json.Marshal(out)
	if err != nil {
		panic(fmt.Sprintf("load: encode: %v", err)) // plain data always encodes
	}
	return string(text)
}

// Sink takes what the generator says.
type Sink interface {
	Scrape(record.Scrape) error
	Operation(record.Operation) error
	Lost(n uint64) // lines the generator had to give up
}

// Process is a running generator.
type Process struct {
	cmd     *exec.Cmd
	grace   time.Duration
	stderr  *tail
	flowing chan struct{}
	done    chan struct{}

	mu       sync.Mutex
	stopping bool // SIGINT was sent
	killed   bool // SIGKILL was sent
	code     int
	err      error
}

// defaultGrace lets k6 flush what it has, even on a busy machine.
const defaultGrace = 5 * time.Second

// stoppedCode is k6's exit code after SIGINT.
const stoppedCode = 105

// Exit codes of k6 (errext/exitcodes).
var exitCodes = map[int]string{
	99:          "thresholds failed",
	104:         "invalid configuration",
	stoppedCode: "stopped from outside",
	106:         "could not start its API",
	107:         "the script threw an exception",
	108:         "the script aborted the test",
}

// Start starts k6. It ends when Stop is called, or with this process.
func Start(cfg Config, sink Sink) (*Process, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	p := &Process{
		grace: cmp.Or(cfg.Grace, defaultGrace), stderr: &tail{},
		flowing: make(chan struct{}), done: make(chan struct{}),
	}
	p.cmd = exec.Command(cfg.Binary, "run", "--quiet", "--no-usage-report", "--summary-mode=disabled",
		"--no-thresholds", "--address", "", "--out", "squall=fd:3", cfg.Script)
	p.cmd.Env = environment(cfg)
	p.cmd.Stderr = p.stderr
	p.cmd.ExtraFiles = []*os.File{theirs} // becomes fd 3
	p.cmd.SysProcAttr = dieWithParent()
	started := make(chan error)
	go p.life(started, ours, sink)
	err = <-started
	err = errors.Join(err, theirs.Close())
	if err != nil {
		return nil, fmt.Errorf("load: start %s: %w", cfg.Binary, err)
	}
	return p, nil
}

// environment is all that k6 sees. Nothing is inherited: a proxy, an option or a
// home with a k6 configuration on this machine would change the load unseen.
func environment(cfg Config) []string {
	var env []string
	for k, v := range cfg.Env {
		env = append(env, k+"="+v)
	}
	return append(env, // the last of two values holds
		"SQUALL_ARRIVAL="+strconv.FormatFloat(cfg.Arrival, 'f', -1, 64),
		"SQUALL_PEAK="+strconv.FormatFloat(cfg.peak(), 'f', -1, 64),
		"SQUALL_STAGES="+cfg.stages(),
		"SQUALL_DURATION="+fmt.Sprintf("%dms", cfg.Duration.Milliseconds()),
		"SQUALL_SEED="+strconv.FormatUint(cfg.Seed, 10),
		"K6_AUTO_EXTENSION_RESOLUTION=false", // it would download other binaries
	)
}

// life owns the process from start to end. The thread that starts it must live
// as long as it does: the parent-death signal is tied to the thread.
func (p *Process) life(started chan<- error, stream io.ReadCloser, sink Sink) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	if err := p.cmd.Start(); err != nil {
		started <- errors.Join(err, stream.Close())
		return
	}
	started <- nil
	var read error
	var reader sync.WaitGroup
	reader.Go(func() {
		if read = p.read(stream, sink); read != nil {
			_ = p.cmd.Process.Kill() // load that nobody can measure is worthless
		}
	})
	err := p.cmd.Wait()
	reader.Wait()
	p.end(err, read)
}

func (p *Process) end(err, read error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code = p.cmd.ProcessState.ExitCode()
	switch {
	case read != nil:
		p.err = fmt.Errorf("load: stream of k6: %w", read)
	case p.killed:
		p.err = fmt.Errorf("load: k6 did not end by SIGINT and was killed%s", p.stderr.text())
	case p.stopping && (p.code == 0 || p.code == stoppedCode || interrupted(err)):
	default:
		why := exitCodes[p.code]
		if why == "" {
			why = p.cmd.ProcessState.String()
		}
		p.err = fmt.Errorf("load: k6 ended by itself: %s%s", why, p.stderr.text())
	}
}

// interrupted: SIGINT came before k6 was ready to handle it.
func interrupted(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGINT
}

// Flowing is closed when the first duration has been measured: load reaches the system.
func (p *Process) Flowing() <-chan struct{} { return p.flowing }

// Done is closed when k6 has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says after Done why k6 ended other than by Stop.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Stop ends the generator: SIGINT, after the grace or at the end of ctx SIGKILL.
// It returns k6's exit code (-1: ended by a signal), and an error if k6 had
// ended by itself or had to be killed.
func (p *Process) Stop(ctx context.Context) (int, error) {
	p.mu.Lock()
	if p.cmd.Process.Signal(syscall.SIGINT) == nil { // else it has ended already
		p.stopping = true
	}
	p.mu.Unlock()
	grace := time.NewTimer(p.grace)
	defer grace.Stop()
	select {
	case <-p.done:
		return p.code, p.Err()
	case <-grace.C:
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.killed = p.cmd.Process.Kill() == nil
	p.mu.Unlock()
	<-p.done
	return p.code, p.Err()
}

// tail keeps the last lines that k6 printed.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 2048

// Write keeps the end of what is written.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if n := len(t.buf); n > tailBytes {
		t.buf = append([]byte(nil), t.buf[n-tailBytes:]...)
	}
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := strings.TrimSpace(string(t.buf)); s != "" {
		return ": " + s
	}
	return ""
}
