package disk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"squall/faults"
)

// Tests run in a mount namespace of their own, so that whatever they mount goes
// with them. The disk is a process of its own, as it is in use: a process that
// waits for a mapped page of a file that it serves itself may wait for ever.
const inside = "SQUALL_TEST_NAMESPACE"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "disk" {
		if err := roleDisk(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(inside) != "" || missing() != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func missing() string {
	kind, err := faults.Builtin().Kind("disk-full")
	if err != nil {
		return err.Error()
	}
	return kind.Missing()
}

func roleDisk(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	volumes, err := ParseVolumes(args[1:])
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	return Serve(ctx, l, volumes)
}

// served is a folder behind a disk process.
type served struct {
	*Client
	backing, mount string
	t              testing.TB
}

func serve(t testing.TB) *served {
	t.Helper()
	if why := missing(); why != "" {
		t.Skip(why)
	}
	dir := t.TempDir()
	s := &served{backing: filepath.Join(dir, "backing"), mount: filepath.Join(dir, "mount"), t: t}
	require.NoError(t, os.Mkdir(s.backing, 0o755))
	require.NoError(t, os.Mkdir(s.mount, 0o755))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := exec.Command(os.Args[0], "disk", addr, "v", s.backing, s.mount)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), "it unmounts and ends")
		entries, err := os.ReadDir(s.mount)
		require.NoError(t, err)
		require.Empty(t, entries, "unmounted")
	})
	s.Client = NewClient("http://" + addr)
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + addr + "/version")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	return s
}

func (s *served) put(rule faults.DiskRule) {
	s.t.Helper()
	require.NoError(s.t, s.Put(s.t.Context(), "v", "f", rule, 7))
}

// drop returns what the rule had done.
func (s *served) drop() faults.Receipt {
	s.t.Helper()
	e, err := s.Status(s.t.Context(), "v", "f")
	require.NoError(s.t, err)
	require.True(s.t, e.Active)
	require.NoError(s.t, s.Delete(s.t.Context(), "v", "f"))
	require.NoError(s.t, s.Delete(s.t.Context(), "v", "f"))
	_, err = s.Status(s.t.Context(), "v", "f")
	require.ErrorIs(s.t, err, faults.ErrNoHold)
	return e.Receipt
}

func (s *served) path(name string) string { return filepath.Join(s.mount, name) }
