package faults

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// MemoryCgroup is where cgroups that limit memory can be made.
type MemoryCgroup struct {
	Dir     string // folder of the parent group
	Unified bool   // cgroup version 2
}

// FindMemoryCgroup finds the nearest group around this process below which it
// may make groups that limit memory. The error says why there is none.
func FindMemoryCgroup() (MemoryCgroup, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return MemoryCgroup{}, errors.New("no cgroups on this machine")
	}
	mounts, err := cgroupMounts()
	if err != nil {
		return MemoryCgroup{}, err
	}
	for line := range strings.Lines(string(own)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		unified := id == "0"
		if !unified && !slices.Contains(strings.Split(controllers, ","), "memory") {
			continue
		}
		for dir := range upwards(path) {
			g := MemoryCgroup{Dir: filepath.Join(mounts[unified], dir), Unified: unified}
			if mounts[unified] != "" && g.usable() {
				return g, nil
			}
		}
	}
	return MemoryCgroup{}, errors.New("no memory cgroup that squall may write: that takes root, or a group handed over to this user")
}

// cgroupMounts are the mount points of the memory controller (false) and of version 2 (true).
func cgroupMounts() (map[bool]string, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("mounts cannot be read: %w", err)
	}
	defer f.Close()
	at := map[bool]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // device, folder, type, options
		switch {
		case len(fields) < 4:
		case fields[2] == "cgroup2":
			at[true] = fields[1]
		case fields[2] == "cgroup" && slices.Contains(strings.Split(fields[3], ","), "memory"):
			at[false] = fields[1]
		}
	}
	return at, nil
}

// upwards yields a path and all above it. In a container, the path that the
// kernel tells may not be there, but something above it is.
func upwards(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for ; yield(path) && path != "/" && path != "."; path = filepath.Dir(path) {
		}
	}
}

// usable tries it: that a folder can be written does not say that a group can be made.
func (g MemoryCgroup) usable() bool {
	if g.Unified {
		passed, err := os.ReadFile(filepath.Join(g.Dir, "cgroup.subtree_control"))
		if err != nil || !slices.Contains(strings.Fields(string(passed)), "memory") {
			return false
		}
	}
	try, err := os.MkdirTemp(g.Dir, "squall-try-")
	if err != nil {
		return false
	}
	defer os.Remove(try)
	_, err = os.Stat(filepath.Join(try, g.LimitFile()))
	return err == nil
}

// LimitFile is the file of a group that holds its limit in bytes.
func (g MemoryCgroup) LimitFile() string {
	if g.Unified {
		return "memory.max"
	}
	return "memory.limit_in_bytes"
}
