package autoscaler

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a service in a process of its own.
type process struct {
	*exec.Cmd
	addr  string
	lines sync.WaitGroup
}

func spawn(t *testing.T, name string, env ...string) *process {
	program, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(program, name)}
	p.Env = append(os.Environ(), append(env, "SHOP_LISTEN=127.0.0.1:0", "SHOP_NAME="+name)...)
	out, err := p.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	t.Cleanup(func() { _ = p.Process.Kill() })
	started := make(chan string, 1)
	p.lines.Go(func() { // of all instances: they inherit it
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var line struct{ Msg, Addr, Service string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "started" && line.Service == name {
				started <- line.Addr
			}
		}
	})
	select {
	case p.addr = <-started:
	case <-time.After(10 * time.Second):
		t.Fatal(name + " did not start")
	}
	return p
}

// running reports whether a process is there and is not just waiting to be
// reaped.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
