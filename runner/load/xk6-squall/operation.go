package squall

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.k6.io/k6/js/modules"
	"go.k6.io/k6/lib"
	"go.k6.io/k6/metrics"
)

// Outcomes of an operation. Unknown is not failed: the reply was lost.
const (
	outcomeOK      = "ok"
	outcomeFailed  = "failed"
	outcomeUnknown = "unknown"
)

// operationCount is k6's name of the metric whose samples carry operations.
const operationCount = "squall_operations"

// leftOpen is the detail of an operation that its iteration did not close.
const leftOpen = "left open by its iteration"

// Metadata keys of the sample that carries one operation to the output.
const (
	metaID     = "id"
	metaFirst  = "first" // set on the first of its iteration
	metaDetail = "detail"
	metaDur    = "dur"  // nanoseconds
	metaOpen   = "open" // set while the operation is under way
)

type rootModule struct{}

// NewModuleInstance makes the module of one VU.
func (rootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	init := vu.InitEnv()
	seed, _ := init.LookupEnv("SQUALL_SEED")
	return &module{
		vu:   vu,
		seed: seed, iteration: -1,
		count:    init.Registry.MustNewMetric(operationCount, metrics.Counter),
		duration: init.Registry.MustNewMetric("squall_operation_duration", metrics.Trend, metrics.Time),
	}
}

// module is k6/x/squall in one VU, which runs one iteration at a time.
type module struct {
	vu              modules.VU
	seed            string
	n               uint64
	iteration       int64      // the last that began an operation
	last            *operation // there is one at a time
	count, duration *metrics.Metric
}

// Exports are the names a script can import.
func (m *module) Exports() modules.Exports {
	return modules.Exports{Named: map[string]any{"operation": m.operation}}
}

// operation begins a business operation. One that an iteration left open is
// reported as unknown when the VU begins its next, or at the end of the test.
func (m *module) operation(name string) (*operation, error) {
	state := m.vu.State()
	if state == nil {
		return nil, errors.New("operation(): call it in the iteration, not in the init context")
	}
	if name == "" {
		return nil, errors.New("operation(): give it a name")
	}
	if m.last != nil && !m.last.done {
		m.last.report(outcomeUnknown, leftOpen)
	}
	m.n++
	m.last = &operation{m: m, name: name, ID: operationID(m.seed, state.VUID, m.n), start: time.Now(), first: m.first(state)}
	m.last.announce()
	return m.last, nil
}

// first reports whether nothing of this iteration came before. Setup and
// teardown, which run in a VU 0, are no iterations.
func (m *module) first(state *lib.State) bool {
	if state.VUID == 0 || state.Iteration == m.iteration {
		return false
	}
	m.iteration = state.Iteration
	return true
}

// operationID is unique in a run and the same for the same seed.
func operationID(seed string, vu, n uint64) string {
	sum := sha256.Sum256([]byte(seed))
	return fmt.Sprintf("%s-%d-%d", hex.EncodeToString(sum[:4]), vu, n)
}

// operation is what a script holds.
type operation struct {
	m     *module
	name  string
	ID    string
	start time.Time
	first bool // of its iteration
	done  bool
}

// Headers carry the id through the system: for correlation, idempotency and tracing (W3C).
func (o *operation) Headers() map[string]string {
	sum := sha256.Sum256([]byte(o.ID))
	h := hex.EncodeToString(sum[:])
	return map[string]string{
		"X-Request-Id":    o.ID,
		"Idempotency-Key": o.ID,
		"traceparent":     fmt.Sprintf("00-%s-%s-01", h[:32], h[32:48]),
	}
}

// Ok closes the operation: it was done.
func (o *operation) Ok(detail string) { o.close(outcomeOK, detail) }

// Failed closes the operation: it was definitely not done.
func (o *operation) Failed(detail string) { o.close(outcomeFailed, detail) }

// Unknown closes the operation: nobody can tell whether it was done.
func (o *operation) Unknown(detail string) { o.close(outcomeUnknown, detail) }

// close reports the first outcome; later ones change nothing.
func (o *operation) close(outcome, detail string) {
	if o.done {
		return
	}
	dur := o.report(outcome, detail)
	o.push(metrics.Sample{
		TimeSeries: metrics.TimeSeries{Metric: o.m.duration, Tags: o.tags(outcome)},
		Time:       o.start.Add(dur), Value: metrics.D(dur),
	})
}

// report ends the operation and returns how long it took.
func (o *operation) report(outcome, detail string) time.Duration {
	o.done = true
	now := time.Now()
	dur := now.Sub(o.start)
	o.push(metrics.Sample{
		TimeSeries: metrics.TimeSeries{Metric: o.m.count, Tags: o.tags(outcome)}, Time: now, Value: 1,
		Metadata: o.metadata(map[string]string{metaDetail: detail, metaDur: nanoseconds(dur)}),
	})
	return dur
}

func nanoseconds(d time.Duration) string { return strconv.FormatInt(d.Nanoseconds(), 10) }

// announce tells the output that the operation is under way. An iteration can
// be cut off anywhere, and what it had begun may well have happened.
func (o *operation) announce() {
	o.push(metrics.Sample{
		TimeSeries: metrics.TimeSeries{Metric: o.m.count, Tags: o.tags(outcomeUnknown)}, Time: o.start,
		Metadata: o.metadata(map[string]string{metaOpen: "true"}),
	})
}

// metadata adds what every sample of the operation says.
func (o *operation) metadata(m map[string]string) map[string]string {
	m[metaID] = o.ID
	if o.first {
		m[metaFirst] = "true"
	}
	return m
}

func (o *operation) tags(outcome string) *metrics.TagSet {
	current := o.m.vu.State().Tags.GetCurrentValues().Tags
	return current.With("operation", o.name).With("outcome", outcome)
}

// push passes a sample on even if the iteration has just been cancelled, as k6
// does with its own: the channel stays open until every VU has returned.
func (o *operation) push(s metrics.Sample) { o.m.vu.State().Samples <- s }
