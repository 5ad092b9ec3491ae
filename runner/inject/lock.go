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
		err = f.Sync() // a name with nothing behind it would outlive a power cut
	}
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
