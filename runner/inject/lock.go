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

// Lock registers a run as alive until release is called or the process ends.
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
	// Locked and written before it has its name: nobody ever sees it without.
	f, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return nil, fmt.Errorf("lock run: %w", err)
	}
	data, err := json.Marshal(lockFile{Dir: abs, PID: os.Getpid()})
	if err == nil {
		_, err = f.Write(data)
	}
	if err = errors.Join(err, flock(f)); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock run: %w", err), os.Remove(f.Name()), f.Close())
	}
	return func() error { return errors.Join(os.Remove(path), f.Close()) }, nil
}

func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
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
	if flock(f) != nil {
		return nil, nil
	}
	var l lockFile
	if err := json.NewDecoder(f).Decode(&l); err != nil {
		return nil, fmt.Errorf("lock file %s: %w", path, err)
	}
	return &DeadRun{Dir: l.Dir, path: path}, nil
}
