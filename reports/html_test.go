package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"squall/runner/record"
	"squall/runner/verdict"
)

func rendered(t *testing.T, in Input) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, HTML(&b, in))
	return b.String()
}

func parsed(t *testing.T, page string) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	return root
}

// elements returns all elements, of one name or of any.
func elements(root *html.Node, name string) (out []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && (name == "" || n.Data == name) {
			out = append(out, n)
		}
	}
	return out
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// words is the text of an element as a reader sees it.
func words(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode && c.Parent.Data != "style" {
			b.WriteString(c.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func section(t *testing.T, root *html.Node, id string) *html.Node {
	t.Helper()
	for _, s := range elements(root, "section") {
		if attr(s, "aria-labelledby") == id {
			return s
		}
	}
	require.Fail(t, "no section "+id)
	return nil
}

func TestHTMLHasEverySection(t *testing.T) {
	root := parsed(t, rendered(t, plot.input(t)))
	for id, want := range map[string][]string{
		"assertions": {"✗ fail charged-once", "expected", "520 50 needed", "Worst at: the second", "12.0 s", "scenarios/psp-slow.yaml:24", "Details: 2 more"},
		"timeline":   {"Operations per second", "ok: 95th percentile", "not ok: 95th percentile", "Retries per second", "first receipt: seen biting at 9.3 s", "ann: deploy in progress", "Not ok", "breaker payments -> psp", "half-open", "process orders", "dead", "outbox_pending", "dlq_messages_total", "net-latency 3s ± 200ms on payments -> psp, 42 requests", "step by step", "10.0 s breaker payments -> psp open", "12.0 s outbox_pending mail (payments) 40", "not started (dropped)"},
		"phases":     {"baseline fault recovery", "-20 points", "×50.0", "breaker opened on payments -> psp after 1.01s", "breaker closed on payments -> psp after 640ms", "recovered (recovers) after 250ms"},
		"faults":     {"slow net-latency 3s ± 200ms payments -> psp 9.0 s 9.3 s 17.0 s 17.1 s 42 requests median delay 3.01s", "1 process", "Evidence: 2 pass", "the run went to its end"},
		"edges":      {"payments -> psp 120 0% 0% 400 20% 50% 160 0% 0% slow opens", "orders -> nats 0 – – 0 – – 0 – – not asserted"},
		"client":     {"ok 480", "failed – – – 20", "unknown – – – – 20", "charges 163 161 once, 318 not, 1 more often 20 not 20 not –", "Contradicted by the books: 2", "doubled fault-1 ok, charges +2 -0", "charges +1 (c1); charges +1 (c2)"},
		"requests":   {"the books contradict it: doubled", "slowest whose reply was lost under the fault", "for comparison", "attempt 2", "payments -> psp", "POST /charges"},
		"logs":       {"fault slow injected", "cannot charge", "cause=timeout"},
		"cost":       {"all operations of the load", "99.9% is assumed", "20%", "200 times", "nobody for the 10 s it lasted; a page had it lasted 4 min"},
		"health":     {"could not start 6 iterations", "payments for"},
		"run":        {"9b77350bfb69c0ffee", "go go1.26", "Ended: done"},
	} {
		text := strings.ToLower(words(section(t, root, id)))
		for _, w := range want {
			assert.Contains(t, text, strings.ToLower(w), id)
		}
	}
	banner := words(elements(root, "header")[0])
	for _, w := range []string{"✗ fail", "A slow provider opens the breaker", "2 of 520 checkouts", "charged-once : expected every checkout in the books once , measured 2 doubled", "scenarios/psp-slow.yaml:24", "squall run --seed 7", "1 fail, 1 skipped, 3 pass", "Seed 7", "Plan 9b77350bfb69", "D10", "Hypothesis",
		"95% answered in 2 s before: 8 ms", "Breaker opened after 1.01s on payments -> psp", "Recovered after 250ms as recovers asserts", "spent woken: nobody for the 10 s it lasted"} {
		assert.Contains(t, banner, w, "banner")
	}
}

func TestHTMLAnchorsResolve(t *testing.T) {
	s := plot
	s.name = hostile
	in := s.input(t)
	in.Result.Findings = append(in.Result.Findings, in.Result.Findings...) // twins
	for _, in := range []Input{in, plot.input(t)} {
		root := parsed(t, rendered(t, in))
		ids := map[string]bool{}
		for _, n := range elements(root, "") {
			if id := attr(n, "id"); id != "" {
				assert.False(t, ids[id], "id %q twice", id)
				assert.Regexp(t, `^[A-Za-z0-9_-]+$`, id)
				ids[id] = true
			}
		}
		links := elements(root, "a")
		assert.Greater(t, len(links), 10)
		for _, a := range links {
			href := attr(a, "href")
			if attr(a, "download") != "" {
				continue
			}
			require.True(t, strings.HasPrefix(href, "#"), href)
			assert.True(t, ids[href[1:]], "nothing has id %s", href)
		}
		for _, n := range elements(root, "") {
			if label := attr(n, "aria-labelledby"); label != "" {
				assert.True(t, ids[label], "nothing has id %s", label)
			}
		}
	}
}

// selfContained asserts that a page loads nothing and runs nothing, and that
// every look without the style element is in presentation attributes.
func selfContained(t *testing.T, page string) *html.Node {
	t.Helper()
	noControl(t, page)
	root := parsed(t, page)
	for _, n := range elements(root, "") {
		assert.NotContains(t, []string{"img", "link", "iframe", "object", "embed", "base", "form", "image", "use", "foreignobject", "video", "audio"}, strings.ToLower(n.Data))
		for _, a := range n.Attr {
			assert.NotEqual(t, "style", a.Key, "inline style on %s", n.Data)
			assert.NotEqual(t, "src", a.Key)
			assert.False(t, strings.HasPrefix(a.Key, "on"), "handler %s on %s", a.Key, n.Data)
			if a.Key == "href" && !strings.HasPrefix(a.Val, "data:text/csv;base64,") {
				assert.NotContains(t, a.Val, ":", "only places within")
			}
		}
	}
	for _, n := range elements(root, "script") {
		assert.Empty(t, attr(n, "src"))
		if attr(n, "type") == "application/json" {
			assert.True(t, json.Valid([]byte(n.FirstChild.Data)))
			continue
		}
		assert.Contains(t, []string{script, indexScript}, n.FirstChild.Data, "only our own script")
	}
	styles := elements(root, "style")
	require.Len(t, styles, 1)
	assert.NotContains(t, styles[0].FirstChild.Data, "url(")
	assert.NotContains(t, styles[0].FirstChild.Data, "@import")
	return root
}

func TestHTMLIsSelfContained(t *testing.T) {
	selfContained(t, rendered(t, plot.input(t)))
}

func TestHTMLKeepsHostileTextInItsPlace(t *testing.T) {
	count := func(root *html.Node) map[string]int {
		names := map[string]int{}
		for _, n := range elements(root, "") {
			names[n.Data]++
		}
		delete(names, "text") // a long label may not fit its band
		return names
	}
	calm := selfContained(t, rendered(t, plot.input(t)))
	s := plot
	s.name = hostile
	in := s.input(t)
	root := selfContained(t, rendered(t, in))
	assert.Equal(t, count(calm), count(root), "no element more than without it")
	assert.Contains(t, words(root), "<script>alert(1)</script>", "it is shown as the text it is")
}

// The style element only adds: without it the same text is there, in the same
// order, and nothing needs it to be hidden or told apart.
func TestHTMLIsCompleteWithoutStyle(t *testing.T) {
	page := rendered(t, plot.input(t))
	bare := regexp.MustCompile(`(?s)<style>.*</style>`).ReplaceAllString(page, "")
	require.Less(t, len(bare), len(page))
	root := parsed(t, bare)
	assert.Equal(t, words(parsed(t, page)), words(root))
	assert.NotContains(t, style, "content:")
	for _, block := range strings.Split(strings.SplitN(style, "@media print", 2)[0], "}") {
		assert.NotContains(t, block, "display: none")
	}
	for _, n := range elements(root, "span") {
		if class := attr(n, "class"); strings.HasPrefix(class, "word ") {
			assert.Regexp(t, `^[✓✗?!■–☣] [a-z ]+$`, words(n), "the verdict is a mark and a word, not only a colour")
		}
	}
	pictures := elements(root, "svg")
	require.Greater(t, len(pictures), 3)
	for _, svg := range pictures {
		assert.Equal(t, "1120", attr(svg, "width"), "it scrolls where it does not fit")
		assert.NotEmpty(t, attr(svg, "aria-label"))
		for _, n := range elements(svg, "") {
			assert.Empty(t, attr(n, "class"), "%s", n.Data)
		}
		for _, n := range append(elements(svg, "path"), elements(svg, "rect")...) {
			assert.NotEmpty(t, attr(n, "fill"), "%s without its own look", n.Data)
		}
	}
}

func TestHTMLOfALongRunIsSmall(t *testing.T) {
	s := story{warmup: 5 * time.Second, baseline: 15 * time.Second, fault: 20 * time.Second, recovery: 20 * time.Second}
	in := s.input(t)
	require.Greater(t, in.Run.Last, 60*time.Second)
	assert.Less(t, len(rendered(t, in)), 500_000)
}

func TestHTMLOfAnEmptyRun(t *testing.T) {
	page := rendered(t, Input{Run: &record.Run{}, Result: verdict.Result{Verdict: verdict.Error, Sentence: "! error It never began"}})
	text := words(selfContained(t, page))
	for _, w := range []string{"! error It never began", "nothing was asserted", "none was injected", "no edge was watched", "The record has no end"} {
		assert.Contains(t, text, w)
	}
}

func TestHTMLDropsEmptyWhyRows(t *testing.T) {
	in := plot.input(t)
	in.Result.Findings = []verdict.Finding{{ID: "a", Group: "expect", Verdict: verdict.Pass}, {ID: "b", Group: "expect", Verdict: verdict.Pass, Why: "because"}}
	table := elements(section(t, parsed(t, rendered(t, in)), "assertions"), "table")[0]
	assert.Len(t, elements(table, "tr"), 4, "head, a, b, why of b")
}

// box is the place a text takes, generously.
type box struct{ x0, x1, y float64 }

func TestPhaseNamesNeverOverlap(t *testing.T) {
	run := &record.Run{Last: 60 * time.Second}
	for i, name := range []string{"warmup", "baseline", "fault", "recovery", "settle"} { // all within a second
		run.Phases = append(run.Phases, record.Span{Name: name, From: time.Duration(i) * 200 * time.Millisecond, To: time.Duration(i+1) * 200 * time.Millisecond})
	}
	run.Phases = append(run.Phases, record.Span{Name: "a phase of a very long name indeed", From: 59 * time.Second, To: 60 * time.Second})
	picture, _ := timeline(Input{Run: run})
	root := parsed(t, string(picture))
	var boxes []box
	for _, n := range elements(root, "text") {
		if attr(n, "font-weight") == "600" && attr(n, "font-size") == "11" {
			x, err := strconv.ParseFloat(attr(n, "x"), 64)
			require.NoError(t, err)
			y, err := strconv.ParseFloat(attr(n, "y"), 64)
			require.NoError(t, err)
			boxes = append(boxes, box{x, x + textWidth(words(n), 11), y})
		}
	}
	require.GreaterOrEqual(t, len(boxes), 4)
	for i, a := range boxes {
		assert.LessOrEqual(t, a.x1, svgWidth+0.1)
		for _, b := range boxes[i+1:] {
			assert.False(t, a.y == b.y && a.x0 < b.x1 && b.x0 < a.x1, "%v and %v overlap", a, b)
		}
	}
}

func TestBreakerBandsDifferInHeight(t *testing.T) {
	heights := map[string]string{}
	picture, _ := timeline(plot.input(t))
	for _, r := range elements(parsed(t, string(picture)), "rect") {
		name, _, _ := strings.Cut(words(r), ",")
		heights[name] = attr(r, "height")
	}
	assert.Equal(t, "4.0", heights["closed"])
	assert.Equal(t, "10.0", heights["half-open"])
	assert.Equal(t, "20.0", heights["open"])
	assert.Equal(t, "20.0", heights["dead"])
}

func TestIndex(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Index(&b, append(suite(t), repeated(t)), nil))
	root := parsed(t, b.String())
	var links []string
	for _, a := range elements(root, "a") {
		links = append(links, attr(a, "href"))
	}
	assert.Equal(t, []string{"orchestrator-killed/report.html", "psp-slow/report.html", "psp-slow.2/report.html", "psp-slow.3/report.html",
		"x/report.html", "psp-slow/report.html"}, links, "worst first")
	assert.Contains(t, words(root), "4 scenarios: 2 fail, 1 inconclusive, 1 pass")
	assert.Contains(t, words(root), "in 1 of 3 runs: twice")
	selfContained(t, b.String())
}

// A parser mends what is broken; the tokenizer shows it.
func TestHTMLIsWellFormed(t *testing.T) {
	page := rendered(t, plot.input(t))
	var open []string
	void := []string{"meta", "br", "wbr"}
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		switch z.Next() {
		case html.ErrorToken:
			assert.Empty(t, open)
			return
		case html.StartTagToken:
			if name, _ := z.TagName(); !slices.Contains(void, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			require.NotEmpty(t, open)
			require.Equal(t, open[len(open)-1], string(name), fmt.Sprint(open))
			open = open[:len(open)-1]
		}
	}
}

func TestImpactForThoseWhoKnowNoMechanism(t *testing.T) {
	of := func(ok, failed int, waited float64) []phaseStats {
		return []phaseStats{{Name: "baseline", OK: 1000, P95: 0.1, Waited: 0.1}, {Name: "fault", OK: ok, Failed: failed, P95: 0.01, Waited: record.Float(waited)}}
	}
	flaws := []verdict.Flaw{{ID: "1", Flaw: "doubled"}, {ID: "2", Flaw: "lost"}, {ID: "3", Flaw: "doubled"}}
	costs := []costRow{cost("checkout", 0.999, 0.12, 20*time.Second)}
	for _, tt := range []struct {
		phases []phaseStats
		flawed []verdict.Flaw
		costs  []costRow
		want   string
	}{
		{of(1000, 0, 0.12), nil, nil, "All they asked for was done under the fault, as before it; they did not wait longer."},
		{of(880, 120, 0.4), flaws, costs, "The books contradict 3 operations (2 doubled, 1 lost), which no success ratio shows. " +
			"Of what they asked for 88% was done under the fault, 100% before it; 5 of 100 waited longer than 400 ms (100 ms before). " +
			"In production: 0.0992% of a month's error budget spent; woken: nobody for the 20 s it lasted; a page had it lasted 7 min (14.4 times over 1 h)."},
		{of(0, 0, 0), nil, nil, ""},
		{nil, flaws, costs, ""},
	} {
		assert.Equal(t, tt.want, impact(page{Digest: &Digest{Phases: tt.phases}, Contradicted: tt.flawed, Costs: tt.costs}))
	}
}

func TestSentenceDoesNotRepeatTheWordAboveIt(t *testing.T) {
	for sentence, want := range map[string]string{
		"fail: charged-once: 2 were charged twice": "charged-once: 2 were charged twice",
		"fail: nothing was asserted":               "Nothing was asserted",
		"interrupted by a person":                  "interrupted by a person",
		"fail: ":                                   "fail: ",
	} {
		assert.Equal(t, want, bare("fail", sentence))
	}
}
