package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"squall/runner/record"
)

// Protobuf first: only there do native histograms exist.
const accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited," +
	"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"

// maxBody bounds one exposition.
const maxBody = 16 << 20

// Target is one metrics endpoint; Name and Job become the labels instance and job.
type Target struct {
	Name string // of the instance
	Job  string // the service it is an instance of
	URL  string

	Federated bool          // it tells of others' series: their labels stay
	Token     string        // bearer token; empty: none
	Every     time.Duration // between two looks at it; 0: as all are
}

// Federation is the target that a Prometheus server is, for the series that the
// selectors match: as fresh as its own last scrape of each.
func Federation(server string, match []string, token string) Target {
	return Target{
		Name: "prometheus", URL: strings.TrimSuffix(server, "/") + "/federate?" + url.Values{"match[]": match}.Encode(),
		Federated: true, Token: token, Every: federateEvery,
	}
}

// federateEvery spares a server that others use as well, and is well below how
// long a value stands.
const federateEvery = time.Second

// Look asks a target once, and returns how many series it has.
func (t Target) Look(ctx context.Context) (int, error) {
	found, err := fetch(ctx, http.DefaultClient, t)
	return len(found), err
}

// Scraper scrapes targets at a fixed interval, each in a goroutine of its own.
type Scraper struct {
	targets []Target
	every   time.Duration
	put     func(record.Scrape) error
	client  *http.Client
	ids     atomic.Uint32 // series numbers, unique over all targets
}

// firstID leaves the low numbers to the load generator, which counts its own from 1.
const firstID = 1 << 20

// NewScraper returns a scraper that gives every scrape, failed ones too, to put.
func NewScraper(targets []Target, every time.Duration, put func(record.Scrape) error) *Scraper {
	s := &Scraper{targets: targets, every: every, put: put}
	s.ids.Store(firstID)
	s.client = &http.Client{Transport: &http.Transport{DisableCompression: true}}
	return s
}

// Run scrapes until ctx ends; it scrapes once more at the end, so that the last
// word of every counter is in the record.
func (s *Scraper) Run(ctx context.Context) {
	defer s.client.CloseIdleConnections()
	var wg sync.WaitGroup
	for _, t := range s.targets {
		wg.Go(func() { s.follow(ctx, t) })
	}
	wg.Wait()
}

func (s *Scraper) follow(ctx context.Context, t Target) {
	state := &targetState{ids: map[string]*known{}, next: func() uint32 { return s.ids.Add(1) }}
	every := cmp.Or(t.Every, s.every)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s.once(t, state, every)
		select {
		case <-ctx.Done():
			s.once(t, state, every)
			return
		case <-tick.C:
		}
	}
}

// once scrapes one target; what cannot be recorded shows as a gap of the record.
func (s *Scraper) once(t Target, state *targetState, every time.Duration) {
	begun := time.Now()
	out := record.Scrape{Source: t.Name, Job: t.Job}
	ctx, cancel := context.WithTimeout(context.Background(), every*4/5)
	defer cancel()
	exposed, err := fetch(ctx, s.client, t)
	now := time.Now()
	// Two looks never share a millisecond, which is all that PromQL tells apart.
	out.At, out.Took = max(now.UnixNano(), state.last+int64(time.Millisecond)), now.Sub(begun).Nanoseconds()
	state.last = out.At
	if err != nil {
		out.Error = err.Error()
	} else {
		out.Up = true
		state.changes(exposed, &out)
	}
	_ = s.put(out)
}

// sample is one exposed value.
type sample struct {
	labels labels.Labels
	typ    string
	v      float64
	h      *histogram.Histogram
}

func fetch(ctx context.Context, client *http.Client, t Target) ([]sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	if t.Token != "" {
		req.Header.Set("Authorization", "Bearer "+t.Token)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("GET %s: %s", t.URL, res.Status)
	case len(body) > maxBody:
		return nil, fmt.Errorf("GET %s: more than %d bytes", t.URL, maxBody)
	}
	return parseExposition(body, res.Header.Get("Content-Type"), t)
}

// parseExposition reads text, OpenMetrics or protobuf.
func parseExposition(body []byte, contentType string, of Target) ([]sample, error) {
	p, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{FallbackContentType: "text/plain"})
	if p == nil {
		return nil, err
	}
	var out []sample
	types := map[string]model.MetricType{}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("exposition of %s: %w", of.Name, err)
		}
		switch entry {
		case textparse.EntryType:
			name, typ := p.Type()
			types[string(name)] = typ
		case textparse.EntrySeries:
			var l labels.Labels
			_, _, v := p.Series()
			p.Labels(&l)
			out = append(out, sample{labels: own(l, of), typ: kindOf(l.Get(model.MetricNameLabel), types), v: v})
		case textparse.EntryHistogram:
			var l labels.Labels
			_, _, h, _ := p.Histogram()
			p.Labels(&l)
			if err := keepable(h); err != nil {
				return nil, fmt.Errorf("exposition of %s: histogram %s: %w", of.Name, l, err)
			}
			out = append(out, sample{labels: own(l, of), typ: typeHistogram, h: h})
		}
	}
}

func keepable(h *histogram.Histogram) error {
	switch {
	case h == nil:
		return errors.New("it has float counts, only integer ones are kept")
	case h.UsesCustomBuckets():
		return errors.New("it has custom buckets, only exponential ones are kept")
	}
	return h.Validate()
}

// own adds the labels of the target. Exposed ones of these names are kept with
// a prefix, as Prometheus does.
func own(l labels.Labels, of Target) labels.Labels {
	if of.Federated {
		return l
	}
	b := labels.NewBuilder(l)
	for name, value := range map[string]string{model.JobLabel: of.Job, model.InstanceLabel: of.Name} {
		if exposed := l.Get(name); exposed != "" {
			to := model.ExportedLabelPrefix + name
			for b.Get(to) != "" {
				to = model.ExportedLabelPrefix + to
			}
			b.Set(to, exposed)
		}
		b.Set(name, value)
	}
	return b.Labels()
}

// kindOf looks a series up by its family: x_count belongs to the histogram x.
func kindOf(name string, types map[string]model.MetricType) string {
	typ, ok := types[name]
	for _, suffix := range []string{"_bucket", "_count", "_sum", "_total"} {
		if ok {
			break
		}
		if n := len(name) - len(suffix); n > 0 && name[n:] == suffix {
			typ, ok = types[name[:n]]
		}
	}
	switch typ {
	case model.MetricTypeCounter, model.MetricTypeHistogram, model.MetricTypeSummary:
		return typeCounter
	case model.MetricTypeGauge:
		return typeGauge
	default:
		return typeUnknown
	}
}

// targetState is what has been recorded of one target so far.
type targetState struct {
	ids  map[string]*known
	next func() uint32
	tick uint64
	last int64 // when it was last looked at, Unix nanoseconds
}

type known struct {
	id   uint32
	v    float64
	h    *histogram.Histogram
	tick uint64 // last scrape that had it
	gone bool
}

// changes writes what differs from the target's last scrape.
func (t *targetState) changes(exposed []sample, out *record.Scrape) {
	t.tick++
	for _, s := range exposed {
		key := s.labels.String()
		if s.h != nil {
			key += " native" // a name may stand for both
		}
		k, old := t.ids[key]
		if !old {
			k = &known{id: t.next()}
			t.ids[key] = k
			out.New = append(out.New, record.Series{ID: k.id, Labels: s.labels.Map(), Type: s.typ})
		}
		switch {
		case s.h != nil && (!old || k.gone || !s.h.Equals(k.h)):
			out.H = append(out.H, encode(k.id, s.h))
		case s.h == nil && (!old || k.gone || s.v != k.v):
			out.V = append(out.V, record.Value{ID: k.id, V: record.Float(s.v)})
		}
		k.v, k.h, k.tick, k.gone = s.v, s.h, t.tick, false
	}
	for _, key := range slices.Sorted(maps.Keys(t.ids)) {
		if k := t.ids[key]; k.tick != t.tick && !k.gone {
			out.Gone = append(out.Gone, k.id)
			k.gone = true
		}
	}
	slices.SortFunc(out.New, func(a, b record.Series) int { return cmp.Compare(a.ID, b.ID) })
}
