package app

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
)

// findK6 returns the k6 binary: the flag, $SQUALL_K6, or the newest cached build.
func (a *app) findK6(flag string) (string, error) {
	for _, p := range []string{flag, a.Env("SQUALL_K6")} {
		if p == "" {
			continue
		}
		abs, err := exec.LookPath(p)
		if err != nil {
			return "", usage("k6: %v", err)
		}
		return filepath.Abs(abs)
	}
	builds, err := filepath.Glob(filepath.Join(a.cacheDir(), "k6-*"))
	if err != nil || len(builds) == 0 {
		return "", exitError{code: ExitError, err: fmt.Errorf("k6 with the squall extension is not in %s: build it with 'make k6'", a.cacheDir())}
	}
	slices.SortFunc(builds, func(a, b string) int { return modTime(b).Compare(modTime(a)) })
	return builds[0], nil
}
