package reports

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"squall/runner/record"
)

// digestFormat is raised whenever a field of Digest changes its meaning.
const digestFormat = 2

// Digest is what the pages need of the bulk streams of a record, bounded in
// size: rendering costs the same however many requests there were. It is
// derived like the verdict, and can be made again from the record.
type Digest struct {
	Format  int                             `json:"format"`
	Of      map[record.Stream]record.Totals `json:"of"`   // the streams it was made of
	Gaps    []string                        `json:"gaps"` // in the record
	Begin   time.Duration                   `json:"begin"`
	Step    time.Duration                   `json:"step"` // length of a bucket
	Buckets []bucket                        `json:"buckets"`
	Phases  []phaseStats                    `json:"phases"`
	Edges   []edgeRow                       `json:"edges"`
	Found   []string                        `json:"found"` // edges of traces that the system file does not declare
	Client  []clientRow                     `json:"client"`
	Books   []bookRow                       `json:"books"`
	Flawed  []flawed                        `json:"flawed"`
	Breaker []track                         `json:"breaker"`
	Queues  []track                         `json:"queues"`
	Worst   []waterfall                     `json:"worst"`
	Logs    []excerpt                       `json:"logs"`
	Health  health                          `json:"health"`
}

// Digested boils a record down. The record must have been read as a whole.
func Digested(in Input) *Digest {
	run, again := in.Run, retries(in)
	d := &Digest{
		Format: digestFormat, Gaps: run.Gaps, Begin: loadBegins(run), Step: stepOf(run.Last),
		Phases: perPhase(run), Edges: edges(in, again), Found: undeclared(in), Client: clientAndWire(run), Books: books(run), Flawed: flaws(in),
		Breaker: tracks(run, isBreaker), Queues: tracks(run, isQueue), Health: healthOf(run),
	}
	if run.End != nil {
		d.Of = run.End.Streams
	}
	d.Buckets = perBucket(run, d.Step, again)
	d.Worst = worstRequests(in)
	d.Logs = excerpts(in, d.Worst)
	return d
}

// SaveDigest writes it beside the record.
func SaveDigest(dir string, d *Digest) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("reports: digest: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "digest.json"), append(data, '\n'), 0o644)
}

// ReadDigest reads the digest of a finished run of which the main stream is
// known; an error says why it cannot be used, and that it must be made again.
func ReadDigest(run *record.Run) (*Digest, error) {
	data, err := os.ReadFile(filepath.Join(run.Dir, "digest.json"))
	if err != nil {
		return nil, err
	}
	d := &Digest{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("reports: digest of %s: %w", run.Dir, err)
	}
	switch {
	case d.Format != digestFormat:
		return nil, fmt.Errorf("reports: digest of %s has format %d, not %d", run.Dir, d.Format, digestFormat)
	case run.End == nil || !reflect.DeepEqual(d.Of, run.End.Streams):
		return nil, fmt.Errorf("reports: digest of %s is of another record", run.Dir)
	}
	return d, nil
}

// digest of a run: the one it came with, or one made now.
func (in Input) digest() *Digest {
	if in.Digest != nil {
		return in.Digest
	}
	return Digested(in)
}
