package process

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"squall/faults"
)

// stateFile is env.json: what another process needs to find an environment,
// prove that it is the one, and clean up after it. It holds the control token,
// so only its owner may read it.
type stateFile struct {
	blueprint
	Since      time.Time                   `json:"since"`
	Detached   bool                        `json:"detached"`
	Supervisor faults.ProcessID            `json:"supervisor"`
	Control    string                      `json:"control"` // base URL
	Token      string                      `json:"token"`
	Processes  map[string]faults.ProcessID `json:"processes"` // those alive
}

// locator is what targets.Environment.Locator tells. It goes into run
// directories, which people share, so it holds no token.
type locator struct {
	Kind   string `json:"kind"` // process
	ID     string `json:"id"`
	Folder string `json:"folder"`
}

const locatorKind = "process"

// environmentsDir is the folder of all environments; StateDir may hold more.
func environmentsDir(stateDir string) string { return filepath.Join(stateDir, "environments") }

// sharedFolder is one folder for all services of an environment.
func sharedFolder(folder string) string { return filepath.Join(folder, "shared") }

// MakeStateDir makes the folder that outlives runs, if it is not there.
func MakeStateDir(dir string) error {
	if err := os.MkdirAll(dir, passable()); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	return nil
}

// passable is the mode of folders on the way to a service's data. What is in
// them is the owner's. A service of root may have to hand part of its work to
// another user, as PostgreSQL demands: for that user the way is open, but shows
// nothing.
func passable() os.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

func stateFilePath(folder string) string { return filepath.Join(folder, "env.json") }

func encodeLocator(id, folder string) json.RawMessage {
	text, _ := json.Marshal(locator{Kind: locatorKind, ID: id, Folder: folder}) // plain strings never fail
	return text
}

// write replaces env.json in one step: a reader sees the old one or the new one.
func (s *stateFile) write(folder string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write env.json: %w", err)
	}
	temp := stateFilePath(folder) + ".new"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return fmt.Errorf("write env.json: %w", err)
	}
	if err := os.Rename(temp, stateFilePath(folder)); err != nil {
		return fmt.Errorf("write env.json: %w", err)
	}
	return nil
}

func readStateFile(folder string) (*stateFile, error) {
	text, err := os.ReadFile(stateFilePath(folder))
	if err != nil {
		return nil, fmt.Errorf("read env.json: %w", err)
	}
	var s stateFile
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read %s: %w", stateFilePath(folder), err)
	}
	return &s, nil
}

// alive says whether the supervisor that wrote the file still runs.
func (s *stateFile) alive() bool { return stateOf(s.Supervisor) != stateDead }
