package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"squall/reports"
)

// mostSummary is what a job summary may hold for a step.
const mostSummary = 1 << 20

// tellCI tells the system whose step the command is, in its own words.
func (a *app) tellCI(all []reports.Scenario, out string) error {
	if a.Env("GITLAB_CI") == "true" && len(all) > 0 {
		return writeFile(filepath.Join(out, "codequality.json"), func(w io.Writer) error { return reports.CodeQuality(w, all) })
	}
	return a.tellGitHub(all)
}

// tellGitHub marks broken assertions at their lines and writes the job summary,
// where the command runs as a step of GitHub Actions.
func (a *app) tellGitHub(all []reports.Scenario) error {
	if a.Env("GITHUB_ACTIONS") != "true" {
		return nil
	}
	err := reports.Annotations(a.Stdout, all)
	page := a.Env("GITHUB_STEP_SUMMARY")
	if page == "" {
		return err
	}
	f, openErr := os.OpenFile(page, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if openErr != nil {
		return errors.Join(err, fmt.Errorf("job summary: %w", openErr))
	}
	left := mostSummary
	for _, s := range all {
		for _, r := range s.Runs {
			text, readErr := os.ReadFile(filepath.Join(r.Dir, "summary.md"))
			if left -= len(text) + 1; left < 0 {
				return errors.Join(err, f.Close())
			}
			_, writeErr := f.Write(append(text, '\n'))
			err = errors.Join(err, readErr, writeErr)
		}
	}
	return errors.Join(err, f.Close())
}
