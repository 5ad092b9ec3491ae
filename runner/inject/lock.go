package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile says whose run a lock is. The kernel drops the lock with the
// process, so a file that can be locked is a run that died.
type lockFile struct {
	Dir string `json:"dir"`
	PID int    `json:"pid"`
}

// ErrLocked says that a run directory belongs to another run, live or dead.
var ErrLocked = errors.New("run directory is taken")

// Lock registers a run as alive until release is called or the process ends.
// Two runs cannot have one directory: then the error is ErrLocked.
func Lock(stateDir, runDir string) (release func() error, err error) {
	abs, err := filepath.Abs(runDir)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(stateDir, "runs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock run: %w", err)
	}
	path := lockPath(stateDir, abs)
	f, err := lockedFile(dir, path, lockFile{Dir: abs, PID: os.Getpid()})
	if errors.Is(err, os.ErrExist) {
		err = fmt.Errorf("%s: %w%s", runDir, ErrLocked, holder(path))
	}
	if err != nil {
		return nil, fmt.Errorf("lock run: %w", err)
	}
	return func() error { return errors.Join(os.Remove(path), f.Close()) }, nil
}

// lockPath is where the run of a directory, given as an absolute path, is registered.
func lockPath(stateDir, abs string) string {
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(stateDir, "runs", hex.EncodeToString(sum[:8])+".json")
}

// Alive reports whether a process holds the registration of a run directory.
func Alive(stateDir, runDir string) (bool, error) {
	abs, err := filepath.Abs(runDir)
	if err != nil {
		return false, err
	}
	f, err := os.OpenFile(lockPath(stateDir, abs), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock of run: %w", err)
	}
	defer f.Close() // and gives the lock up, if it was to be had
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// lockedFile is locked and written before it has its name: nobody ever sees it
// without. It is an error if the name is taken.
func lockedFile(dir, path string, l lockFile) (*os.File, error) {
	f, err := newFile(dir)
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	err = json.NewEncoder(f).Encode(l)
	if err == nil {
		err = f.Sync() // a name with nothing behind it would outlive a power cut
	}
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unnamed is what a registration is called before it has its name.
const unnamed = "new-*"

// newFile makes a file and locks it. One that nobody has locked is what a process
// left that was killed meanwhile, and may be removed at any time.
func newFile(dir string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(dir, unnamed)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		named := false
		if err == nil {
			named, err = hasName(f)
		}
		if named && err == nil {
			return f, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// sweepUnnamed removes registrations whose process was killed before it was done.
func sweepUnnamed(stateDir string) error {
	paths, err := filepath.Glob(filepath.Join(stateDir, "runs", unnamed))
	for _, path := range paths {
		f, openErr := os.OpenFile(path, os.O_RDWR, 0)
		if openErr != nil {
			continue // gone by now
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			if removeErr := os.Remove(path); !errors.Is(removeErr, os.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
		}
		err = errors.Join(err, f.Close())
	}
	return err
}

// holder says who has the lock, where that can be read.
func holder(path string) string {
	data, err := os.ReadFile(path)
	var l lockFile
	if err != nil || json.Unmarshal(data, &l) != nil {
		return ""
	}
	return fmt.Sprintf(" by process %d", l.PID)
}
