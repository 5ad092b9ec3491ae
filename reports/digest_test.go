package reports

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// What is rendered from the digest is what is rendered from the whole record,
// byte by byte, as often as it is.
func TestDigestRendersLikeTheRecord(t *testing.T) {
	for _, name := range []string{"", hostile} {
		s := plot
		s.name = name
		in := s.input(t)
		want := rendered(t, in)
		require.Equal(t, want, rendered(t, in), "twice")

		require.NoError(t, SaveDigest(in.Run.Dir, Digested(in)))
		small, err := record.OpenMain(in.Run.Dir)
		require.NoError(t, err)
		assert.Empty(t, small.Operations)
		in.Run = small
		in.Digest, err = ReadDigest(small)
		require.NoError(t, err)
		assert.Equal(t, want, rendered(t, in))
	}
}

func TestDigestOfAnotherRecordIsRefused(t *testing.T) {
	in := plot.input(t)
	require.NoError(t, SaveDigest(in.Run.Dir, Digested(in)))
	_, err := ReadDigest(in.Run)
	require.NoError(t, err)
	in.Run.End.Streams[record.Ops] = record.Totals{Lines: 1}
	_, err = ReadDigest(in.Run)
	assert.ErrorContains(t, err, "another record")
	require.NoError(t, os.WriteFile(filepath.Join(in.Run.Dir, "digest.json"), []byte(`{"format": 99}`), 0o644))
	_, err = ReadDigest(in.Run)
	assert.ErrorContains(t, err, "format 99")
}

func TestBucketsOfLongRunsAreBounded(t *testing.T) {
	assert.Equal(t, time.Second, stepOf(10*time.Minute))
	assert.Equal(t, 5*time.Second, stepOf(30*time.Minute))
	for _, length := range []time.Duration{time.Second, time.Hour, 9 * time.Hour, 300 * time.Hour} {
		assert.LessOrEqual(t, int(length/stepOf(length)), mostBuckets, length)
	}
}

func TestWaterfallNamesAttemptsAndFallbacks(t *testing.T) {
	run := &record.Run{Phases: []record.Span{{Name: "fault", To: time.Minute}}}
	run.Header.Started = time.Unix(0, 0)
	run.Operations = []record.Operation{{ID: "1", Name: "checkout", Outcome: record.Failed, Dur: int64(time.Second)}}
	call := func(at int64, edge string, status int) record.Exchange {
		return record.Exchange{At: at, Edge: edge, Op: "1", Method: "POST", Path: "/charges", Status: status, Trace: "t"}
	}
	run.Exchanges = []record.Exchange{call(3, "payments -> backup", 201), call(1, "payments -> primary", 503), call(2, "payments -> primary", 503)}
	run.Exchanges[1].Acts = []record.Act{{Stage: "down", N: 1, What: "status 503"}}
	run.Spans = []record.TraceSpan{{Trace: "t", ID: "a", At: 4, Service: "mail", Name: "send", Kind: "consumer"}, {Trace: "t", ID: "b", At: 4, Kind: "server"},
		{Trace: "t", ID: "c", At: 5, Service: "payments", Name: "POST /charges", Kind: "server", Events: []record.TraceEvent{{Name: "retry"}, {Name: "retry"}, {Name: "fallback"}}}, {Trace: "other", Kind: "consumer"}}
	got := worstRequests(Input{Run: run})
	require.Len(t, got, 1)
	var roles []string
	for _, h := range got[0].Hops {
		roles = append(roles, h.Role)
	}
	assert.Equal(t, []string{"", "attempt 2", "fallback", "span", "span"}, roles)
	assert.Equal(t, "retry ×2, fallback", got[0].Hops[4].Status, "of a call that the wire shows, what happened during it")
	assert.Equal(t, "down: status 503", got[0].Hops[0].Fault)
	got[0].Hops = append(got[0].Hops, hop{At: time.Hour, Where: "mail"})
	picture := string(got[0].SVG())
	bars := elements(parsed(t, picture), "rect")
	assert.Equal(t, []string{"400.0", "275.0"}, []string{attr(bars[0], "x"), attr(bars[0], "width")}, "half the room is the answer's")
	assert.Equal(t, "950.0", attr(bars[len(bars)-1], "x"), "what comes long after is at the edge")
	assert.Contains(t, picture, ", 3.6e+03 s later")
	for _, w := range []string{"payments -&gt; backup", "fallback", "⚡ down: status 503", "checkout as the client saw it"} {
		assert.Contains(t, picture, w)
	}
}

func TestSlowestOfManyTheEarlierFirst(t *testing.T) {
	s := slowest{most: 3}
	for i, took := range []int64{1, 5, 3, 5, 2, 7, 3, 5} {
		s.take(&record.Operation{ID: strconv.Itoa(i), Dur: took, At: int64(i / 4)})
	}
	var got []string
	for _, op := range s.ops {
		got = append(got, op.ID)
	}
	assert.Equal(t, []string{"5", "1", "3"}, got)
}

// A service that logs megabytes costs the page a few hundred characters of each line.
func TestLogLinesAreBounded(t *testing.T) {
	in := plot.input(t)
	path := filepath.Join(in.Run.Dir, "logs", "orders.log")
	huge := `{"time":"` + in.Run.Header.Started.Add(9*time.Second).Format(time.RFC3339Nano) + `","level":"ERROR","msg":"` + strings.Repeat("<b>\x1b[31m", 2<<20) + "\"}\n"
	require.Greater(t, len(huge), 10<<20)
	require.NoError(t, os.WriteFile(path, []byte(huge+huge+strings.Repeat("error: short\n", 1000)), 0o644))
	before := len(rendered(t, plot.input(t)))
	page := rendered(t, in)
	noControl(t, page)
	assert.Less(t, len(page), before+20_000)
	for _, e := range Digested(in).Logs {
		assert.LessOrEqual(t, len(e.Lines), mostLines)
		for _, l := range e.Lines {
			assert.LessOrEqual(t, len([]rune(l.Text)), lineLength)
		}
	}
}

func TestCostsOfAFault(t *testing.T) {
	c := cost("checkout", 0.999, 0.12, 20*time.Second)
	assert.InDelta(t, 120, c.Burn, 1e-6)
	assert.InDelta(t, 0.000992, c.Spent, 1e-6)
	assert.Equal(t, 432*time.Second, c.Paged.Round(time.Second))
	assert.Contains(t, c.When(), "nobody for the 20 s it lasted; a page had it lasted 7 min")
	assert.Contains(t, cost("x", 0.999, 0.5, time.Hour).When(), "a page 104 s after it began")
	assert.Equal(t, "nobody, as no budget was spent", cost("x", 0.999, 0, time.Hour).When())
	assert.Contains(t, cost("x", 0.999, 0.002, time.Hour).When(), "a ticket in the morning")
}

func TestQuestionsAsWrittenAndAsRun(t *testing.T) {
	scenario, problems := spec.Load("../scenarios/breaker/psp-slow.yaml")
	require.Empty(t, problems)
	system, problems := spec.LoadSystem("../sample-system/system.yaml")
	require.Empty(t, problems)
	window := &verdict.Window{To: 8 * time.Second}
	got := questions(Input{Scenario: scenario, System: system}, []shown{
		{Finding: verdict.Finding{ID: "fast", Group: "expect", Expr: "as run", Window: window}},
		{Finding: verdict.Finding{ID: "still-ok", Group: "expect", Window: window}},
		{Finding: verdict.Finding{ID: "recovers", Group: "expect", Window: window}},
		{Finding: verdict.Finding{ID: "charged-once", Group: "expect", Window: window}},
	})
	require.Len(t, got, 3)
	assert.Contains(t, got[0].Written, "[$window]")
	assert.Equal(t, "as run", got[0].AsIs)
	assert.Contains(t, got[1].Written, "squall_operations_total")
	assert.Contains(t, got[1].AsIs, "[8s] anchored")
	assert.Contains(t, got[2].AsIs, "[8s] anchored")
}

func TestTopologyTellsFaultedFromUnasserted(t *testing.T) {
	in := plot.input(t)
	in.Run.Spans = []record.TraceSpan{{Trace: "t", ID: "a", Service: "gateway", Kind: "client"}, {Trace: "t", ID: "b", Parent: "a", Service: "reviews", Kind: "server"}}
	picture := string(topology(in))
	for _, w := range []string{
		"payments -&gt; psp: 400 calls under the fault, 20% errors, 50% retries; asserted by opens", "⚡ slow · 20% errors · 50% retries",
		"orders -&gt; nats: 0 calls under the fault, – errors, – retries; nothing is asserted of it",
		"gateway -&gt; reviews: 0 calls under the fault, – errors, – retries; seen in traces, not in the system file", "⚡ kill",
	} {
		assert.Contains(t, picture, w)
	}
}

func TestTwoRendersOfARunAreEqualBytes(t *testing.T) {
	a, b := plot.input(t), plot.input(t)
	b.Run.Dir = a.Run.Dir
	b.Run.Header.Started = a.Run.Header.Started
	var x, y bytes.Buffer
	require.NoError(t, HTML(&x, a))
	require.NoError(t, HTML(&y, b))
	assert.True(t, bytes.Equal(x.Bytes(), y.Bytes()))
}

func TestGroundIsTintedOnceWhereFaultsOverlap(t *testing.T) {
	at := func(from, to int, injected string) standing {
		return standing{From: time.Duration(from), To: time.Duration(to), Injected: injected}
	}
	got := stretches([]standing{at(5, 9, "x"), at(1, 3, "x"), at(2, 4, "x"), at(2, 30, ""), at(9, 10, "x")})
	assert.Equal(t, []verdict.Window{{From: 1, To: 4}, {From: 5, To: 10}}, got)
}

// However little room there is, the page counts all operations that the books
// contradict, and has a list of them.
func TestEveryContradictedOperationIsListed(t *testing.T) {
	in := plot.input(t)
	in.thrift = 3
	other := verdict.Finding{ID: "other", Group: "expect", Flaws: []verdict.Flaw{{ID: "0", Flaw: "lost"}}}
	in.Result.Findings = append(in.Result.Findings, other)
	f := &in.Result.Findings[4]
	f.Flaws = nil
	for n := range verdict.MaxFlaws - 1 {
		f.Flaws = append(f.Flaws, verdict.Flaw{ID: strconv.Itoa(n), Flaw: "lost", Text: "ok"})
	}
	in.Digest = Digested(in).thrifty(in.thrift)
	p := newPage(in)
	assert.Less(t, len(p.Flawed), 100)
	assert.Contains(t, p.Impact, "The books contradict 999 operations (999 lost)")
	text := words(parsed(t, rendered(t, in)))
	assert.Contains(t, text, "Contradicted by the books: 999 ")
	assert.Contains(t, text, "ledger.csv 999 rows")
	f.Flaws = append(f.Flaws, verdict.Flaw{ID: "last", Flaw: "lost"})
	assert.Contains(t, words(parsed(t, rendered(t, in))), "Contradicted by the books: at least 1000 ")
}

// However much there is of everything, a page stays below its limit, and says what it left out.
func TestPageIsBounded(t *testing.T) {
	in := plot.input(t)
	d := Digested(in)
	calm := rendered(t, in)
	assert.NotContains(t, calm, "left out")
	long := strings.Repeat("<é>", 400_000)
	w := d.Worst[0]
	for len(w.Hops) < mostHops {
		w.Hops = append(w.Hops, w.Hops[0])
	}
	lines := make([]logged, mostLines)
	for i := range lines {
		lines[i] = logged{From: "orders-1", Level: "error", Text: shorten(long, lineLength), Trace: strings.Repeat("a", 32), Grave: true}
	}
	w.Logs = lines
	d.Worst, d.Logs, d.Flawed, d.Breaker, d.Queues, d.Buckets = nil, nil, nil, nil, nil, nil
	for range mostWaterfalls {
		d.Worst = append(d.Worst, w)
	}
	for range mostExcerpts {
		d.Logs = append(d.Logs, excerpt{What: "fault slow injected", Lines: lines})
	}
	for range mostFlawed {
		f := flawed{Flaw: "doubled", ID: strings.Repeat("x", 36), Text: "ok, charges +2 -0, money +2 -0"}
		for range mostRows {
			f.Rows = append(f.Rows, record.AuditRow{Source: "reservations", Effect: 1, ID: strings.Repeat("y", 36)})
		}
		d.Flawed = append(d.Flawed, f)
	}
	for i := range mostTracks {
		b, q := track{Name: "orders -> payments", From: "orders-1"}, track{Name: "outbox_pending", From: "orders-1"}
		for n := range mostPoints {
			at := time.Duration(n*27/mostPoints) * time.Second
			b.Points = append(b.Points, point{at, record.Float((n + i) % 3)})
			q.Points = append(q.Points, point{at, record.Float(n % 7)})
		}
		d.Breaker, d.Queues = append(d.Breaker, b), append(d.Queues, q)
	}
	for i := range mostBuckets {
		d.Buckets = append(d.Buckets, bucket{T: time.Duration(i) * 45 * time.Millisecond, OK: 40, P50: 0.012345, P95: 0.12345, P99: 1.2345, Bad: 2.345, Calls: 200, Retries: 20})
	}
	for range 100 {
		in.Run.Notes = append(in.Run.Notes, record.NoteEvent{Note: record.Note{Text: long}})
	}
	in.Result.Findings[4].Why, in.Result.Findings[4].Details = long, []string{long, long}
	in.Digest = d
	page := rendered(t, in)
	assert.LessOrEqual(t, len(page), maxPage)
	assert.Contains(t, page, "left out")
	selfContained(t, page)
}
