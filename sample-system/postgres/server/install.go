// Package server runs the programs of a PostgreSQL installation as children
// that cannot outlive their parent.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrAbsent means that this machine has no PostgreSQL server.
var ErrAbsent = errors.New("no PostgreSQL server found, neither in PATH nor in /usr/lib/postgresql/*/bin")

// Installation is where the programs are, and who runs them.
type Installation struct {
	bin string
	as  *syscall.Credential // nil: whoever we are
}

// Find looks in PATH, then for the newest version of the distribution.
// PostgreSQL refuses to run as root; then its programs run as user "postgres".
func Find() (*Installation, error) {
	program, err := exec.LookPath("postgres")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is right
		if len(found) == 0 {
			return nil, ErrAbsent
		}
		program = slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })
	}
	if program, err = filepath.EvalSymlinks(program); err != nil { // its other programs are beside it
		return nil, err
	}
	i := &Installation{bin: filepath.Dir(program)}
	if os.Geteuid() == 0 {
		if i.as, err = unprivileged("postgres"); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// version is 15 for /usr/lib/postgresql/15/bin/postgres.
func version(program string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(program)))) // 0 for a name that is no number
	return n
}

func unprivileged(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("find a user to run PostgreSQL as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("find a user to run PostgreSQL as: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("find a user to run PostgreSQL as: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// Folder makes a folder that belongs to the server's user, who must be able to
// pass through the folders above it; those that are not there are made so.
func (i *Installation) Folder(path string) error {
	if i.as == nil {
		return os.MkdirAll(path, 0o700)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if err := os.Chown(path, int(i.as.Uid), int(i.as.Gid)); err != nil {
		return err
	}
	closed, err := closedAbove(path)
	if err != nil || len(closed) == 0 {
		return err
	}
	return fmt.Errorf("PostgreSQL does not run as root, and uid %d that it runs as cannot pass through %s: open it (chmod o+x) or keep the data elsewhere",
		i.as.Uid, strings.Join(closed, ", "))
}

// closedAbove are the folders above path that not everybody can pass through.
func closedAbove(path string) (closed []string, err error) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o001 == 0 {
			closed = append(closed, dir)
		}
		if dir == filepath.Dir(dir) {
			return closed, nil
		}
	}
}

// Run runs a program, such as "initdb", to its end; the error has its output.
func (i *Installation) Run(ctx context.Context, program string, args ...string) error {
	var out strings.Builder
	cmd := i.command(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	started := make(chan error, 1)
	ended := make(chan error, 1)
	go runLocked(cmd, started, ended)
	if err := <-started; err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	if err := <-ended; err != nil {
		return fmt.Errorf("run %s: %w: %s", program, err, strings.TrimSpace(out.String()))
	}
	return nil
}

func (i *Installation) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(i.bin, program), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + i.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "LC_MESSAGES=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: i.as}
	dieWithParent(cmd.SysProcAttr)
	cmd.WaitDelay = outputGrace
	return cmd
}
