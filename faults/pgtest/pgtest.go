// Package pgtest runs a real PostgreSQL server for tests.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Without tells that somebody has said, with SQUALL_NO_POSTGRES=1, that this
// machine has no PostgreSQL. A server that is merely absent is an error.
func Without() bool { return os.Getenv("SQUALL_NO_POSTGRES") == "1" }

// User may everything on such a server, without a password.
const User = "shop"

// DSN is the address of the database that every server has.
func DSN(addr string) string { return "postgres://" + User + "@" + addr + "/postgres?sslmode=disable" }

// Start runs a server until the test ends and returns its host:port. Where there
// is none the test is skipped.
func Start(t testing.TB) string {
	t.Helper()
	if Without() {
		t.Skip("SQUALL_NO_POSTGRES=1")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	stop, err := Run(addr)
	require.NoError(t, err)
	t.Cleanup(stop)
	return addr
}

// Run runs a server on addr until stop, or the end of this process.
func Run(addr string) (stop func(), err error) {
	p, err := find()
	if err != nil {
		return nil, err
	}
	// A folder that the server's user can reach, which those of tests are not.
	folder, err := os.MkdirTemp("", "squall-pgtest-")
	if err != nil {
		return nil, err
	}
	end, err := p.run(folder, addr)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return func() { end(); os.RemoveAll(folder) }, nil
}

// programs are those of an installation, and who runs them: PostgreSQL refuses
// to run as root.
type programs struct {
	bin string
	as  *syscall.Credential
}

func find() (p programs, err error) {
	path, err := exec.LookPath("postgres")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is right
		if len(found) == 0 {
			return p, errors.New("install PostgreSQL, or set SQUALL_NO_POSTGRES=1 to do without")
		}
		path = found[len(found)-1]
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return p, err
	}
	p.bin = filepath.Dir(path)
	if os.Geteuid() != 0 {
		return p, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return p, err
	}
	uid, errU := strconv.ParseUint(u.Uid, 10, 32)
	gid, errG := strconv.ParseUint(u.Gid, 10, 32)
	p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return p, errors.Join(errU, errG)
}

func (p programs) run(folder, addr string) (stop func(), err error) {
	data := filepath.Join(folder, "data")
	if err := errors.Join(os.Chmod(folder, 0o711), os.Mkdir(data, 0o700)); err != nil {
		return nil, err
	}
	if p.as != nil {
		if err := os.Chown(data, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return nil, err
		}
	}
	out, err := p.command("initdb", "-D", data, "-U", User, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return p.serve(data, addr)
}

func (p programs) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + p.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

// serve starts the server and waits until it answers. The kernel ends it with
// the thread that started it, and so with this process.
func (p programs) serve(data, addr string) (stop func(), err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	cmd := p.command("postgres", "-D", data, "-h", host, "-p", port, "-k", "", "-c", "fsync=off", "-c", "shared_buffers=16MB")
	dieWithParent(cmd.SysProcAttr)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // fails only if it has ended
		<-ended
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := await(ctx, addr); err != nil {
		stop()
		return nil, fmt.Errorf("%w: %s", err, log.String())
	}
	return stop, nil
}

func await(ctx context.Context, addr string) error {
	for {
		conn, err := pgx.Connect(ctx, DSN(addr))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}
