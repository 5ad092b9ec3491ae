package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// DeadRun is a run whose runner died before it could finish. It is locked, so
// that nobody else takes it for dead, until Forget or Release.
type DeadRun struct {
	Dir  string // run directory
	lock *os.File
}

// Forget removes the registration, once nothing is left to undo. It is an error
// after Forget or Release.
func (d DeadRun) Forget() error {
	named, err := hasName(d.lock)
	if named {
		err = os.Remove(d.lock.Name())
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, d.Release()); err != nil {
		return fmt.Errorf("forget run %s: %w", d.Dir, err)
	}
	return nil
}

// Release keeps the registration, for another to heal. It does nothing after
// Forget or Release.
func (d DeadRun) Release() error {
	if err := d.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("release run %s: %w", d.Dir, err)
	}
	return nil
}

// DeadRuns locks and returns the dead runs that nobody else has locked. What
// cannot be read is an error, and does not keep the others from being returned:
// they are to be released in any case.
func DeadRuns(stateDir string) ([]DeadRun, error) {
	paths, err := filepath.Glob(filepath.Join(stateDir, "runs", "*.json"))
	if err != nil {
		return nil, err
	}
	var dead []DeadRun
	errs := []error{sweepUnnamed(stateDir)}
	for _, path := range paths {
		d, err := deadRun(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("lock file %s: %w", path, err))
		}
		if d != nil {
			dead = append(dead, *d)
		}
	}
	return dead, errors.Join(errs...)
}

// deadRun returns nil for a run that is alive, in another's hands, or gone.
func deadRun(path string) (*DeadRun, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // some file systems lock only what can be written
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := takeDead(f)
	if d == nil {
		err = errors.Join(err, f.Close())
	}
	return d, err
}

func takeDead(f *os.File) (*DeadRun, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if named, err := hasName(f); !named {
		return nil, err
	}
	var l lockFile
	if err := json.NewDecoder(f).Decode(&l); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(l.Dir) {
		return nil, fmt.Errorf("run directory %q is not absolute", l.Dir)
	}
	return &DeadRun{Dir: l.Dir, lock: f}, nil
}

// hasName says whether a file still has the name it was opened by: its run may
// have ended since, and another have taken the name.
func hasName(f *os.File) (bool, error) {
	ours, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(f.Name())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, named), err
}
