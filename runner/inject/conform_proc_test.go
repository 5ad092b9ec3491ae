package inject

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"squall/faults"
)

// workNeeds is what the faults below need of the service work.
var workNeeds = map[string][]faults.Capability{"work": {faults.NeedsData, faults.NeedsMemory, faults.NeedsClock}}

func init() {
	stays := map[string]any{"down": "1h"} // it would be up again, which the process target tests
	conform(entry{kind: "proc-kill", on: "work", caller: work("/"), hit: failed, receipt: exactly(1)})
	conform(entry{kind: "proc-term", on: "work", caller: work("/"), hit: failed, receipt: exactly(1)})
	conform(entry{kind: "proc-pause", on: "work", caller: work("/"), hit: silence, receipt: exactly(1)})
	conform(entry{kind: "proc-restart", on: "work", params: stays, caller: work("/"), hit: failed, receipt: exactly(1)})
	conform(entry{kind: "proc-crash-loop", on: "work", params: stays, caller: work("/"), hit: failed, receipt: exactly(1)})
	// A share is kept on average: a period in which the supervisor comes late runs on, and the next ones make up for it.
	conform(entry{kind: "proc-cpu", on: "work", params: map[string]any{"cores": 0.01}, caller: work("/spin"), hit: silence, sometimes: true,
		notAtOnce: "a share is kept over periods of 100 ms",
		inexact:   "it counts the periods in which the share was not enough"})
	conform(entry{kind: "proc-memory", on: "work", params: map[string]any{"headroom": "8MiB"}, caller: work("/take"), hit: failed,
		inexact: "the kernel counts how often it met the limit", notAtOnce: "the limit is met when the headroom has been used"})
	conform(entry{kind: "clock-skew", on: "work", params: map[string]any{"offset": "-90s"}, caller: work("/clock"), hit: says("-90\n"),
		inexact: "the kernel may tell several reads at once as one"})
	conform(entry{kind: "disk-full", on: "work", caller: work("/write"), hit: says("no space left on device"), receipt: uses})
	// Writes, since a sync asks the machine's own disk, which may be slow as well.
	conform(entry{kind: "disk-slow", on: "work", params: map[string]any{"delay": "80ms", "operations": []string{"write"}},
		caller: work("/write"), hit: slower(75 * time.Millisecond), receipt: uses})
}

func says(text string) func(exchange) bool {
	return func(x exchange) bool { return x.err == nil && strings.Contains(x.body, text) }
}

func work(path string) func(*lab) caller {
	return func(l *lab) caller {
		return &webCaller{socket{addr: strings.TrimPrefix(l.env.ClientEnv()["WORK"], "http://")}, "GET", path}
	}
}

// roleWork uses what faults on processes take away: /spin 4 ms of a core, /take
// 32 MiB of memory for a moment, /write room on the disk; /clock tells its clock.
func roleWork(args []string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	mux.HandleFunc("/spin", func(_ http.ResponseWriter, r *http.Request) { spin(r.Context(), 4*time.Millisecond) })
	mux.HandleFunc("/take", func(_ http.ResponseWriter, _ *http.Request) {
		_ = take(32 << 20)
		time.Sleep(2 * time.Millisecond) // a moment at which it uses little
	})
	mux.HandleFunc("/clock", func(w http.ResponseWriter, _ *http.Request) {
		text, _ := os.ReadFile(os.Getenv("CLOCK"))
		_, _ = w.Write(text)
	})
	mux.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) { // who shares a file waits for one another
		if err := grow(filepath.Join(os.Getenv("DATA"), r.RemoteAddr)); err != nil {
			_, _ = io.WriteString(w, err.Error())
		}
	})
	s := &http.Server{Addr: args[0], Handler: mux}
	return serveUntilTerm(s)
}

// spin uses so much CPU time, until ctx ends: time that it stands still does not count.
func spin(ctx context.Context, d time.Duration) {
	used := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for begun := used(); used()-begun < d && ctx.Err() == nil; {
		runtime.Gosched() // those who hear that a caller has left need a turn as well
	}
}

// take maps memory, touches every page, and gives it back.
func take(size int) error {
	mem, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for i := 0; i < len(mem); i += os.Getpagesize() {
		mem[i] = 1
	}
	return syscall.Munmap(mem)
}

func grow(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("x")
	return errors.Join(err, f.Close())
}
