//go:build linux

package app_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"squall/runner/app"
)

// shell is a bash on a terminal of its own, with nothing but our completion.
type shell struct {
	t     *testing.T
	tty   *os.File
	lines chan string
}

func newShell(t *testing.T, dir string) *shell {
	t.Helper()
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	end, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	defer end.Close()
	bash := exec.Command("bash", "--norc", "--noprofile", "-i")
	bash.Dir, bash.Stdin, bash.Stdout, bash.Stderr = dir, end, end, end
	bash.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=dumb", "PS1=$ ", "INPUTRC=/dev/null", "SQUALL_STATE=" + t.TempDir()}
	bash.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, bash.Start())
	s := &shell{t: t, tty: tty, lines: make(chan string, 1000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			if err != nil {
				return
			}
			s.lines <- string(buf[:n])
		}
	}()
	t.Cleanup(func() {
		_ = bash.Process.Kill()
		_ = bash.Wait()
		<-read
		_ = tty.Close()
	})
	s.does(`bind 'set bell-style none'; bind 'set page-completions off'; bind 'set completion-query-items -1'; source <(squall completion bash); echo rea''dy`, "ready")
	return s
}

// types sends keys and reads on until the terminal shows what is wanted.
func (s *shell) types(keys, want string) string {
	s.t.Helper()
	_, err := s.tty.WriteString(keys)
	require.NoError(s.t, err)
	var seen bytes.Buffer
	late := time.After(time.Minute)
	for !strings.Contains(seen.String(), want) {
		select {
		case text := <-s.lines:
			seen.WriteString(text)
		case <-late:
			require.FailNow(s.t, "the terminal does not show it", "typed %q, want %q, seen %q", keys, want, seen.String())
		}
	}
	return seen.String()
}

func (s *shell) does(line, want string) { s.t.Helper(); s.types(line+"\r", want) }

// Whoever presses the tab key in bash gets what can stand there.
func TestCompletionInBash(t *testing.T) {
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	for _, name := range []string{"scenarios", "sample-system"} {
		require.NoError(t, os.Symlink(filepath.Join(repo, name), filepath.Join(dir, name)))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "out", "psp-slow-1"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "out", "psp-slow-1", "run.ndjson"), nil, 0o600))
	s := newShell(t, dir)
	for _, tt := range []struct{ typed, want string }{
		{"squall val", "idate "},
		{"squall run scenarios/breaker/psp", "-slow.yaml "},
		{"squall validate scen", "arios/"},
		{"squall report out/p", "sp-slow-1 "},
		{"squall explain net-lat", "ency "},
		{"squall explain short-w", "indow "},
		{"squall run --tag event-s", "tore "},
		{"squall list fau", "lts "},
		{"squall new bulk", "head "},
		{"squall up sample-system/comp", "ose.yaml "},
		{"squall gameday plan scenarios/gamedays/po", "ol-exhausted.yaml "},
		{"squall run --output=pl", "ain "},
		{"squall run scenarios/breaker/psp-slow.yaml --dry", "-run "},
	} {
		s.types("\x15"+tt.typed+"\t", tt.typed[strings.LastIndexAny(tt.typed, " /=")+1:]+tt.want)
	}
	s.types("\x15squall run scenarios/breaker --defect D0\t\t", "D07  D08")
	s.types("\x15squall run --tag smoke,event-s\t", ",event-store ") // the shell may put a backslash before the comma
}

// The scripts of the other shells ask the same program.
func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string]string{"zsh": "#compdef squall", "fish": "complete -c squall", "bash": "complete -o default -F __start_squall squall"} {
		code, script, said := command(t, "completion", shell)
		assert.Equal(t, app.ExitPass, code, said)
		assert.Contains(t, script, want)
		assert.Contains(t, script, "__complete")
	}
	code, _, said := command(t, "completion", "tcsh")
	assert.Equal(t, app.ExitUsage, code)
	assert.Contains(t, said, "want bash, zsh or fish")
}
