package reports

import (
	"fmt"
	"io"
	"strings"

	"squall/runner/verdict"
)

// mostAnnotations is how many of a kind GitHub shows for a step.
const mostAnnotations = 10

// Annotations prints workflow commands of GitHub Actions, which mark the line of
// each broken assertion in the scenario file: an error where it is broken, a
// warning where it could not be decided.
func Annotations(w io.Writer, all []Scenario) error {
	left := map[string]int{"error": mostAnnotations, "warning": mostAnnotations}
	for _, s := range all {
		for _, f := range s.Result.Findings {
			level := map[verdict.Verdict]string{verdict.Fail: "error", verdict.Error: "error", verdict.Aborted: "error", verdict.Inconclusive: "warning"}[f.Verdict]
			if level == "" || f.Pos.Line == 0 || left[level] == 0 {
				continue
			}
			left[level]--
			_, err := fmt.Fprintf(w, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", level, property(f.Pos.File), f.Pos.Line, f.Pos.Col,
				property(s.Name()+": "+f.ID+" "+string(f.Verdict)), message(f.Why))
			if err != nil {
				return fmt.Errorf("annotations: %w", err)
			}
		}
	}
	return nil
}

var (
	messageEscapes  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func message(text string) string  { return messageEscapes.Replace(text) }
func property(text string) string { return propertyEscapes.Replace(text) }
