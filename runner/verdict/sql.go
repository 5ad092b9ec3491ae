package verdict

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "sql",
		Summary: "A query on a database gives what it should.",
		Doc: `The runner asks a PostgreSQL database once in the phase, or again and again, on a connection of its own. The bounds are on the
first column of the first row; every answer must meet them. No answer, and an answer that is no number, does not.
Too little evidence: it was never asked.`,
		Params:     sqlCheck{},
		Bounds:     BoundsRequired,
		MinSamples: 1,
		New:        newSQL,
	})
}

type sqlCheck struct {
	spec.SQLAct `yaml:",inline"`
	At          spec.Duration `yaml:"at" doc:"Delay after the phase's start, where it is asked once."`
	Every       spec.Duration `yaml:"every" doc:"Distance of two queries; absent: it is asked once."`
	After       spec.Duration `yaml:"after" doc:"Answers in this time from the phase's start are not judged."`

	bounds bounds
}

func newSQL(d *Declared) Checker {
	q := &sqlCheck{}
	d.decode(q)
	q.bounds = boundsOf(d.Check)
	refuse(d, spec.Act{SQL: &q.SQLAct}.Mistakes(d.System))
	tooLate(d, q.At)
	return q
}

func (q *sqlCheck) look() Look {
	return Look{At: time.Duration(q.At), Every: time.Duration(q.Every), Act: spec.Act{SQL: &q.SQLAct}}
}

func (q *sqlCheck) Judge(_ context.Context, v *View, f *Finding) {
	f.Expr, f.Expected = q.Query, "are "+q.bounds.String()
	judgeLooks(v, f, time.Duration(q.After), atLeastRatio(1), func(p record.Probe) string {
		switch {
		case !p.OK:
			return noAnswer(p)
		case !number(p.Text):
			return fmt.Sprintf("no number: %q", brief(p.Text))
		case !q.bounds.met(p.Value):
			return q.bounds.format(p.Value)
		}
		return ""
	})
}

func number(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}
