package live_test

import (
	"context"
	"net/http/httptest"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/reports/live"
	"squall/runner/record"
)

// A watched page shows what is new without being loaded again, keeps what the
// reader has opened, and says when the run has ended.
func TestPageFollowsInABrowser(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine: apt-get install chromium")
	}
	w, dir := writer(t)
	server := httptest.NewServer(live.New(dir, options()))
	defer server.Close()

	all, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true))...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(all)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var mu sync.Mutex
	var troubles []string
	require.NoError(t, chromedp.Do(ctx))
	require.NoError(t, chromedp.Listen(ctx, func(e any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := e.(type) {
		case *log.EventEntryAdded:
			troubles = append(troubles, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			troubles = append(troubles, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
		}
	}))
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(server.URL)))
	seen := func(expr string) {
		t.Helper()
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](expr))
		mu.Lock()
		defer mu.Unlock()
		require.NoError(t, err, "%s: %v", expr, troubles)
	}
	seen(`document.getElementById("live").textContent === "● live"`)
	seen(`(window.here = true, document.body.innerText.includes("The run goes on"))`)

	require.NoError(t, w.Append(record.TypePhase, record.Phase{Name: "baseline", Event: "start"}))
	require.NoError(t, w.Append(record.TypeNote, record.Note{Author: "ann", Text: "<i>watch</i> this"}))
	seen(`document.body.innerText.includes("<i>watch</i> this")`)
	seen(`!!document.querySelector(".bar button") && !!document.getElementById("timeline-picture").dataset.from`) // the timeline that came later has its cursor

	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	seen(`document.getElementById("live").textContent === "ended" && document.body.innerText.includes("It is over")`)
	seen(`window.here === true`) // and was never loaded again
	mu.Lock()
	defer mu.Unlock()
	for _, trouble := range troubles {
		assert.Contains(t, trouble, "favicon")
	}
}
