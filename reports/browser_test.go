package reports

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/png"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var pictures = flag.Bool("pictures", false, "write the golden pictures anew")

// browser is one headless browser for all tests of this file.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine: apt-get install chromium")
	}
	// As the field knows them: no GPU, no sandbox of its own in a container, no traffic of the browser's own.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true), chromedp.WindowSize(1280, 900))
	all, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(all)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

// visit is one page in one tab, with what it did that it should not.
type visit struct {
	ctx context.Context
	url string

	mu       sync.Mutex
	requests []string
	troubles []string // errors, refusals by policy, dialogs
}

// open shows a page under a policy in a tab of its own.
func open(t *testing.T, all context.Context, html, csp string, before ...func(context.Context) error) *visit {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/report.html" {
			http.NotFound(w, r)
			return
		}
		if csp != "" {
			w.Header().Set("Content-Security-Policy", csp)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(html)) // the browser may have gone
	}))
	t.Cleanup(server.Close)
	ctx, cancel := chromedp.NewContext(all)
	t.Cleanup(cancel)
	v := &visit{ctx: ctx, url: server.URL + "/report.html"}
	note := func(to *[]string, what string) {
		v.mu.Lock()
		defer v.mu.Unlock()
		*to = append(*to, what)
	}
	require.NoError(t, chromedp.Do(ctx))
	require.NoError(t, chromedp.Listen(ctx, func(e any) {
		switch e := e.(type) {
		case *network.EventRequestWillBeSent:
			note(&v.requests, e.Request.URL)
		case *log.EventEntryAdded:
			note(&v.troubles, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			note(&v.troubles, e.ExceptionDetails.Text)
		case *cdppage.EventJavascriptDialogOpening:
			note(&v.troubles, "dialog: "+e.Message)
		}
	}))
	for _, prepare := range append(before, call(log.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{})) {
		require.NoError(t, prepare(ctx))
	}
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(v.url)))
	return v
}

// call is one command of the browser's protocol.
func call[P, R any](cmd cdp.Command[P, R], params P) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, cmd, params)
		return err
	}
}

func (v *visit) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(v.ctx, actions...))
}

// ask evaluates an expression in the page.
func ask[T any](t *testing.T, v *visit, expr string) T {
	t.Helper()
	out, err := chromedp.Run(v.ctx, chromedp.Evaluate[T](expr))
	require.NoError(t, err, expr)
	return out
}

func (v *visit) key(t *testing.T, keys ...string) {
	t.Helper()
	for _, k := range keys {
		v.do(t, chromedp.KeyEvent(k))
	}
}

// press clicks the button of that name.
func (v *visit) press(t *testing.T, name string) {
	t.Helper()
	require.True(t, ask[bool](t, v, fmt.Sprintf(`(() => { const b = [...document.querySelectorAll("button")].find((b) => b.textContent === %q); b?.click(); return !!b; })()`, name)), "no button %s", name)
}

// quiet asserts that the page asked for nothing but itself and had no trouble.
func (v *visit) quiet(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.requests {
		assert.True(t, r == v.url || strings.HasSuffix(r, "/favicon.ico"), "it asked for %s", r)
	}
	assert.Empty(t, v.troubles)
}

const readout = `document.getElementById("readout").textContent`

func TestTimelineInABrowser(t *testing.T) {
	v := open(t, browser(t), rendered(t, plot.input(t)), "")
	at := func(seconds float64) (x, y float64) { // of the timeline, in the window
		place := ask[[]float64](t, v, fmt.Sprintf(`(() => { const s = document.getElementById("timeline-picture"), d = JSON.parse(document.getElementById("timeline-data").textContent), r = s.getBoundingClientRect();
			const from = +s.dataset.from, to = +s.dataset.to; return [r.left + (d.left + (d.right - d.left) * (%f - from) / (to - from)) * r.width / s.viewBox.baseVal.width, r.top + 300]; })()`, seconds))
		return place[0], place[1]
	}
	span := func() (from, to float64) {
		got := ask[[]float64](t, v, `(() => { const s = document.getElementById("timeline-picture"); return [+s.dataset.from, +s.dataset.to]; })()`)
		return got[0], got[1]
	}
	ask[bool](t, v, `(document.getElementById("timeline").scrollIntoView(), true)`)

	x, y := at(12.5)
	v.do(t, chromedp.MouseEvent(chromedp.MouseMoved, x, y))
	matches(t, v, "report-timeline")
	text := ask[string](t, v, readout)
	for _, w := range []string{"at 12.5 s", "in fault", "ok 16/s", "failed 2/s", "95th 400 ms", "breaker payments -> psp half-open", "process orders starting"} {
		assert.Contains(t, text, w)
	}
	assert.Equal(t, "visible", ask[string](t, v, `document.getElementById("cursor").getAttribute("visibility")`))

	before := ask[string](t, v, `[...document.querySelectorAll("[data-timed] rect")].map((r) => Number(r.getAttribute("width")).toFixed(1)).join()`)
	v.press(t, "fault")
	from, to := span()
	assert.InDelta(t, 9, from, 0.1)
	assert.InDelta(t, 19, to, 0.1)
	assert.NotEqual(t, before, ask[string](t, v, `[...document.querySelectorAll("[data-timed] rect")].map((r) => Number(r.getAttribute("width")).toFixed(1)).join()`), "what stands in time is stretched")
	assert.Equal(t, "true", ask[string](t, v, `[...document.querySelectorAll(".bar button")].find((b) => b.textContent === "fault").getAttribute("aria-pressed")`))
	assert.Contains(t, ask[string](t, v, `document.getElementById("axis").textContent`), "18 s")

	x0, y := at(12)
	x1, _ := at(15)
	v.do(t, chromedp.MouseEvent(chromedp.MousePressed, x0, y, chromedp.ButtonLeft), chromedp.MouseEvent(chromedp.MouseMoved, (x0+x1)/2, y), chromedp.MouseEvent(chromedp.MouseMoved, x1, y), chromedp.MouseEvent(chromedp.MouseReleased, x1, y, chromedp.ButtonLeft))
	from, to = span()
	assert.InDelta(t, 12, from, 0.2, "dragged")
	assert.InDelta(t, 15, to, 0.2)

	ask[bool](t, v, `(document.getElementById("timeline-box").focus(), true)`)
	v.key(t, kb.Escape)
	from, to = span()
	assert.Greater(t, to-from, 25.0, "the whole run")
	v.key(t, kb.Home, kb.ArrowRight, kb.ArrowRight)
	first := ask[string](t, v, readout)
	v.key(t, kb.ArrowRight)
	assert.NotEqual(t, first, ask[string](t, v, readout), "the arrow moves the cursor")
	v.key(t, "+")
	from, to = span()
	assert.Less(t, to-from, 15.0, "plus zooms in")
	v.key(t, kb.End, "-", "0")
	from, to = span()
	assert.Greater(t, to-from, 25.0)
	assert.Equal(t, before, ask[string](t, v, `[...document.querySelectorAll("[data-timed] rect")].map((r) => Number(r.getAttribute("width")).toFixed(1)).join()`), "and back as it was drawn")
	v.quiet(t)
}

func TestIndexFiltersAndSorts(t *testing.T) {
	var b bytes.Buffer
	all := append(suite(t), repeated(t))
	require.NoError(t, Index(&b, all, pastOfScenario(all[1].Name())))
	v := open(t, browser(t), b.String(), "")
	shown := func() (out []string) {
		return ask[[]string](t, v, `[...document.querySelectorAll("tbody tr[data-s]")].filter((r) => !r.hidden).map((r) => r.dataset.s + " " + r.cells[1].textContent.split(":")[0])`)
	}
	search := func(text string) []string {
		ask[bool](t, v, fmt.Sprintf(`(() => { const q = document.getElementById("q"); q.value = %q; return q.dispatchEvent(new Event("input")); })()`, text))
		return shown()
	}
	require.Len(t, shown(), 4)
	for query, want := range map[string]int{"s:failed": 2, "s:pass": 1, "w:run": 1, "s:failed w:run": 1, "s:failed -w:run": 1, "f:latency s:inconclusive": 1, "orchestrator": 1, "f:nothing": 0, "ÄRGER": 1} {
		assert.Len(t, search(query), want, query)
	}
	assert.Equal(t, "1 of 4", func() string {
		search("s:pass")
		return ask[string](t, v, `document.querySelector("output").textContent`)
	}())
	assert.Contains(t, ask[string](t, v, `location.hash`), "#q=s%3Apass", "a filter can be passed on")
	search("-s:pass")
	matches(t, v, "index")
	search("")
	order := shown()
	v.press(t, "Scenario")
	assert.NotEqual(t, order, shown())
	assert.Equal(t, "ascending", ask[string](t, v, `[...document.querySelectorAll("th")][1].getAttribute("aria-sort")`))
	v.quiet(t)
}

// policies that reports are served under, and what is left under them.
var policies = map[string]string{
	"jenkins": "sandbox; default-src 'none'; img-src 'self'; style-src 'self'",
	"nothing": "default-src 'none'; img-src data:",
}

func TestReportIsCompleteWhereAlmostAllIsForbidden(t *testing.T) {
	all := browser(t)
	complete := func(t *testing.T, v *visit, why string) {
		text := strings.ToLower(ask[string](t, v, `document.body.innerText`))
		for _, w := range []string{"a slow provider opens the breaker", "2 of 520 checkouts were charged twice", "squall run --seed 7", "operations per second", "before, during and after", "services and edges", "what it would have cost", "health of the load generator"} {
			assert.Contains(t, text, w, why)
		}
		assert.Greater(t, ask[float64](t, v, `document.querySelector("#timeline-picture [data-timed] rect").getBoundingClientRect().height`), 1.0, "the timeline is drawn: "+why)
		assert.Zero(t, ask[int](t, v, `document.querySelectorAll(".bar").length`), "nothing was run: "+why)
	}
	html := rendered(t, plot.input(t))
	for name, csp := range policies {
		v := open(t, all, html, csp)
		complete(t, v, name)
		assert.Equal(t, "0px", ask[string](t, v, `getComputedStyle(document.querySelector("header")).borderLeftWidth`), "style is forbidden indeed: "+name)
		matches(t, v, "report-"+name)
	}
	v := open(t, all, html, "", call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	complete(t, v, "without script")
	assert.Equal(t, "8px", ask[string](t, v, `getComputedStyle(document.querySelector("header")).borderLeftWidth`))
}

func TestReportLooksAsItShould(t *testing.T) {
	all := browser(t)
	html := rendered(t, plot.input(t))
	media := func(medium, scheme string) func(context.Context) error {
		return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	}
	for name, before := range map[string]func(context.Context) error{
		"light": media("", "light"), "dark": media("", "dark"), "print": media("print", "dark"),
		"narrow": func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.EmulateViewport(800, 900)) },
	} {
		v := open(t, all, html, "", before)
		matches(t, v, "report-"+name)
		shade := ask[string](t, v, `(() => { const c = document.createElement("canvas").getContext("2d"); c.fillStyle = getComputedStyle(document.body).color; return c.fillStyle; })()`)
		if name == "dark" {
			assert.Equal(t, "#ffffff", shade)
		} else {
			assert.Equal(t, "#000000", shade)
		}
		if name == "narrow" {
			assert.LessOrEqual(t, ask[int](t, v, `document.documentElement.scrollWidth`), 800, "only tables and pictures scroll")
		}
		if name == "print" {
			assert.Equal(t, "none", ask[string](t, v, `getComputedStyle(document.querySelector("nav")).display`))
			assert.Equal(t, []string{"0", "none"}, ask[[]string](t, v, `(dispatchEvent(new Event("beforeprint")), [[...document.querySelectorAll("details:not(.spare)")].filter((d) => !d.open).length + "", ...new Set([...document.querySelectorAll(".spare")].map((d) => getComputedStyle(d).display))])`),
				"all is open but tables that repeat a picture")
			pdf, err := chromedp.Run(v.ctx, chromedp.PrintToPDF())
			require.NoError(t, err)
			assert.True(t, bytes.HasPrefix(pdf, []byte("%PDF")))
		}
		v.quiet(t)
	}
}

// Every region, picture and control has a name for those who cannot see it.
func TestReportHasNamesForScreenReaders(t *testing.T) {
	v := open(t, browser(t), rendered(t, plot.input(t)), "")
	nameless := ask[[]string](t, v, `[...document.querySelectorAll("svg[role=img], [role=region], button, input, a, section, summary")].filter((e) => !(e.getAttribute("aria-label") || document.getElementById(e.getAttribute("aria-labelledby")) || e.textContent).toString().trim()).map((e) => e.outerHTML.slice(0, 80))`)
	assert.Empty(t, nameless)
	unreachable := ask[int](t, v, `[...document.querySelectorAll(".scroll[role=region]")].filter((e) => e.tabIndex < 0).length`)
	assert.Zero(t, unreachable, "what scrolls can be reached by keyboard")
}

// Names and logs full of HTML and script are shown, run nothing and ask for nothing.
func TestHostileTextInABrowser(t *testing.T) {
	s := plot
	s.name = hostile
	all := browser(t)
	v := open(t, all, rendered(t, s.input(t)), "")
	assert.Contains(t, ask[string](t, v, `document.body.innerText`), "<script>alert(1)</script>")
	v.quiet(t)
	var b bytes.Buffer
	scenario := suite(t)
	scenario[0].Runs[0].Header.Run, scenario[0].Result.Sentence = hostile, hostile
	require.NoError(t, Index(&b, scenario, nil))
	v = open(t, all, b.String(), "")
	v.quiet(t)
}

// matches compares the top of a page with its golden picture. Fonts differ from
// machine to machine, so what is compared is how dark each block of the picture is.
func matches(t *testing.T, v *visit, name string) {
	t.Helper()
	got, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	path := filepath.Join("testdata", "pictures", name+".png")
	if *pictures {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	golden, err := os.ReadFile(path)
	require.NoError(t, err)
	distance := difference(t, golden, got)
	if distance > mostDifference {
		failed := filepath.Join(os.TempDir(), name+".png")
		require.NoError(t, os.WriteFile(failed, got, 0o644))
		assert.LessOrEqual(t, distance, mostDifference, "%s looks different: see %s", name, failed)
	}
}

// How different pictures may be: the mean over blocks of the difference in
// brightness. Another font costs about 0.02; a lost style, theme or timeline 0.08 and more.
const (
	mostDifference = 0.04
	blockSize      = 16
)

func difference(t *testing.T, a, b []byte) float64 {
	t.Helper()
	x, y := blocks(t, a), blocks(t, b)
	require.Equal(t, len(x), len(y), "pictures of one size")
	sum := 0.0
	for i := range x {
		sum += math.Abs(x[i] - y[i])
	}
	return sum / float64(len(x))
}

func blocks(t *testing.T, data []byte) (out []float64) {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y += blockSize {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x += blockSize {
			out = append(out, brightness(m, x, y))
		}
	}
	return out
}

func brightness(m image.Image, x0, y0 int) float64 {
	sum, n := 0.0, 0.0
	for y := y0; y < min(y0+blockSize, m.Bounds().Max.Y); y++ {
		for x := x0; x < min(x0+blockSize, m.Bounds().Max.X); x++ {
			r, g, b, _ := m.At(x, y).RGBA()
			sum, n = sum+float64(r+g+b)/(3*0xffff), n+1
		}
	}
	return sum / n
}
