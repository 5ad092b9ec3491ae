package squall

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"go.k6.io/k6/js/modules"
	"go.k6.io/k6/metrics"
)

// Outcomes of an operation. Unknown is not failed: the reply was lost.
const (
	outcomeOK      = "ok"
	outcomeFailed  = "failed"
	outcomeUnknown = "unknown"
)

// Metadata keys of the sample that carries one operation to the output.
const (
	metaID     = "id"
	metaDetail = "detail"
	metaDur    = "dur" // nanoseconds
)

type rootModule struct{}

// NewModuleInstance makes the module of one VU.
func (rootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	registry := vu.InitEnv().Registry
	m := &module{
		vu:       vu,
		seed:     os.Getenv("SQUALL_SEED"),
		count:    registry.MustNewMetric("squall_operations", metrics.Counter),
		duration: registry.MustNewMetric("squall_operation_duration", metrics.Trend, metrics.Time),
	}
	return m
}

// module is k6/x/squall in one VU, which runs one iteration at a time.
type module struct {
	vu              modules.VU
	seed            string
	n               uint64
	open            *operation // not closed yet
	count, duration *metrics.Metric
}

// Exports are the names a script can import.
func (m *module) Exports() modules.Exports {
	return modules.Exports{Named: map[string]any{"operation": m.operation}}
}

// operation begins a business operation. One that an iteration left open is
// reported as unknown when the next begins.
func (m *module) operation(name string) (*operation, error) {
	state := m.vu.State()
	if state == nil {
		return nil, errors.New("operation(): call it in the iteration, not in the init context")
	}
	if name == "" {
		return nil, errors.New("operation(): give it a name")
	}
	if m.open != nil {
		m.open.close(outcomeUnknown, "left open by its iteration")
	}
	m.n++
	m.open = &operation{m: m, name: name, ID: operationID(m.seed, state.VUID, m.n), start: time.Now()}
	return m.open, nil
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
	o.done = true
	if o.m.open == o {
		o.m.open = nil
	}
	state := o.m.vu.State()
	now := time.Now()
	dur := now.Sub(o.start)
	tags := state.Tags.GetCurrentValues().Tags.With("operation", o.name).With("outcome", outcome)
	metrics.PushIfNotDone(o.m.vu.Context(), state.Samples, metrics.Samples{
		{
			TimeSeries: metrics.TimeSeries{Metric: o.m.count, Tags: tags}, Time: now, Value: 1,
			Metadata: map[string]string{metaID: o.ID, metaDetail: detail, metaDur: fmt.Sprint(dur.Nanoseconds())},
		},
		{TimeSeries: metrics.TimeSeries{Metric: o.m.duration, Tags: tags}, Time: now, Value: metrics.D(dur)},
	})
}
