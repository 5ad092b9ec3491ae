package reports

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"squall/runner/verdict"
)

// mostAnnotations is how many of a kind GitHub shows for a step.
const mostAnnotations = 10

// unmetLine is an assertion that is not met, at its line in the scenario file: an error
// where it is broken, a warning where it could not be decided.
type unmetLine struct {
	verdict.Finding
	level string
	title string
}

func notMet(all []Scenario) (out []unmetLine) {
	for _, s := range all {
		for _, f := range s.Result.Findings {
			level := map[verdict.Verdict]string{verdict.Fail: "error", verdict.Error: "error", verdict.Aborted: "error", verdict.Inconclusive: "warning"}[f.Verdict]
			if level != "" && f.Pos.Line > 0 {
				out = append(out, unmetLine{f, level, s.Name() + ": " + f.ID + " " + string(f.Verdict)})
			}
		}
	}
	return out
}

// Annotations prints workflow commands of GitHub Actions, which mark lines.
func Annotations(w io.Writer, all []Scenario) error {
	left := map[string]int{"error": mostAnnotations, "warning": mostAnnotations}
	for _, m := range notMet(all) {
		if left[m.level] == 0 {
			continue
		}
		left[m.level]--
		_, err := fmt.Fprintf(w, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", m.level, property(m.Pos.File), m.Pos.Line, m.Pos.Col, property(m.title), message(m.Why))
		if err != nil {
			return fmt.Errorf("annotations: %w", err)
		}
	}
	return nil
}

// CodeQuality writes the same as a Code Quality report of GitLab, which a merge
// request shows at the lines. Where all is well it is an empty list.
func CodeQuality(w io.Writer, all []Scenario) error {
	type lines struct {
		Begin int `json:"begin"`
	}
	type location struct {
		Path  string `json:"path"`
		Lines lines  `json:"lines"`
	}
	type issue struct {
		Description string   `json:"description"`
		CheckName   string   `json:"check_name"`
		Fingerprint string   `json:"fingerprint"` // the same as long as the assertion is
		Severity    string   `json:"severity"`
		Location    location `json:"location"`
	}
	issues := []issue{}
	for _, m := range notMet(all) {
		severity := map[string]string{"error": "major", "warning": "minor"}[m.level]
		print := sha256.Sum256([]byte(m.Pos.File + "\x00" + m.title))
		issues = append(issues, issue{m.title + ": " + m.Why, "squall " + m.Kind, hex.EncodeToString(print[:]), severity, location{filepath.ToSlash(m.Pos.File), lines{m.Pos.Line}}})
	}
	if err := json.NewEncoder(w).Encode(issues); err != nil {
		return fmt.Errorf("code quality: %w", err)
	}
	return nil
}

var (
	messageEscapes  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func message(text string) string  { return messageEscapes.Replace(text) }
func property(text string) string { return propertyEscapes.Replace(text) }
