// Package load drives k6 and turns its stream into lines of the record.
//
// k6 is a process of its own (it is AGPL-3.0, and it must not share our
// scheduler). It streams over a pipe that it inherits, so there is no socket to
// leave behind, and both sides notice at once when the other dies.
package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Env      map[string]string // what the script finds in __ENV
	Arrival  float64           // iterations per second
	Duration time.Duration     // longest; Stop ends it earlier
	Seed     uint64
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
	stderr  *tail
	flowing chan struct{}
	done    chan struct{}

	mu       sync.Mutex
	stopping bool
	code     int
	err      error
}

// stopWithin is the time between SIGINT and SIGKILL.
const stopWithin = 5 * time.Second

// Exit codes of k6 (errext/exitcodes).
var exitCodes = map[int]string{
	99:  "thresholds failed",
	104: "invalid configuration",
	105: "stopped from outside",
	106: "could not start its API",
	107: "the script threw an exception",
	108: "the script aborted the test",
}

// Start starts k6. It ends when Stop is called, or with this process.
func Start(cfg Config, sink Sink) (*Process, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	p := &Process{stderr: &tail{}, flowing: make(chan struct{}), done: make(chan struct{})}
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

func environment(cfg Config) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"SQUALL_ARRIVAL=" + strconv.FormatFloat(cfg.Arrival, 'f', -1, 64),
		"SQUALL_DURATION=" + fmt.Sprintf("%dms", cfg.Duration.Milliseconds()),
		"SQUALL_SEED=" + strconv.FormatUint(cfg.Seed, 10),
	}
	for k, v := range cfg.Env {
		env = append(env, k+"="+v)
	}
	return env
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
	reader.Go(func() { read = p.read(stream, sink) })
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
	case p.stopping && (p.code == 105 || p.code == 0):
	case err != nil || !p.stopping:
		why := exitCodes[p.code]
		if why == "" {
			why = p.cmd.ProcessState.String()
		}
		p.err = fmt.Errorf("load: k6 ended by itself: %s%s", why, p.stderr.text())
	}
}

// read passes the stream on until k6 closes it.
func (p *Process) read(stream io.ReadCloser, sink Sink) error {
	defer stream.Close()
	lines := bufio.NewReaderSize(stream, 1<<16)
	flowing := false
	for {
		raw, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var l struct {
			Scrape  *record.Scrape    `json:"scrape"`
			Op      *record.Operation `json:"op"`
			Dropped uint64            `json:"dropped"`
		}
		if err := json.Unmarshal(raw, &l); err != nil {
			return fmt.Errorf("line %q: %w", bytes.TrimSpace(raw), err)
		}
		switch {
		case l.Scrape != nil:
			err = sink.Scrape(*l.Scrape)
			if !flowing && len(l.Scrape.H) > 0 {
				flowing = true
				close(p.flowing)
			}
		case l.Op != nil:
			err = sink.Operation(*l.Op)
		}
		if err != nil {
			return err
		}
		if l.Dropped > 0 {
			sink.Lost(l.Dropped)
		}
	}
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

// Stop ends the generator: SIGINT, after five seconds SIGKILL. It returns k6's
// exit code, and an error if k6 had ended by itself.
func (p *Process) Stop(ctx context.Context) (int, error) {
	p.mu.Lock()
	select {
	case <-p.done:
	default:
		p.stopping = true
		_ = p.cmd.Process.Signal(syscall.SIGINT) // may have just ended
	}
	p.mu.Unlock()
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.done
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.done
	}
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
