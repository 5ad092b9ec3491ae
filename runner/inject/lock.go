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
	sum := sha256.Sum256([]byte(abs))
	path := filepath.Join(dir, hex.EncodeToString(sum[:8])+".json")
	f, err := lockedFile(dir, path, lockFile{Dir: abs, PID: os.Getpid()})
	if errors.Is(err, os.ErrExist) {
		err = fmt.Errorf("%s: %w%s", runDir, ErrLocked, holder(path))
	}
	if err != nil {
		return nil, fmt.Errorf("lock run: %w", err)
	}
	return func() error { return errors.Join(os.Remove(path), f.Close()) }, nil
}

// lockedFile is locked and written before it has its name: nobody ever sees it
// without. It is an error if the name is taken.
func lockedFile(dir, path string, l lockFile) (*os.File, error) {
	f, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	err = json.NewEncoder(f).Encode(l)
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
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

// DeadRun is a run whose runner died before it could finish.
type DeadRun struct {
	Dir  string // run directory
	path string
}

// Forget removes the registration, once nothing is left to undo.
func (d DeadRun) Forget() error { return os.Remove(d.path) }

// DeadRuns lists them.
func DeadRuns(stateDir string) ([]DeadRun, error) {
	paths, err := filepath.Glob(filepath.Join(stateDir, "runs", "*.json"))
	if err != nil {
		return nil, err
	}
	var dead []DeadRun
	for _, path := range paths {
		d, err := deadRun(path)
		if err != nil {
			return nil, err
		}
		if d != nil {
			dead = append(dead, *d)
		}
	}
	return dead, nil
}

// deadRun returns nil for a live run, and for one that has just ended.
func deadRun(path string) (*DeadRun, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	defer f.Close()
	// Shared, so that two who look do not take each other for the live run.
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		return nil, nil
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil // it was released while we opened it
	}
	var l lockFile
	if err := json.NewDecoder(f).Decode(&l); err != nil {
		return nil, fmt.Errorf("lock file %s: %w", path, err)
	}
	return &DeadRun{Dir: l.Dir, path: path}, nil
}
