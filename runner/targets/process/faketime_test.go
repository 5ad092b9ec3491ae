package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/scenarios/spec"
)

// A program that knows nothing of us, under libfaketime, lives at the time that
// the file of its clock says.
func TestClockOfAnUnmodifiedProgram(t *testing.T) {
	libraries, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if _, err := exec.LookPath("perl"); err != nil || len(libraries) == 0 {
		t.Skip("no libfaketime or no perl")
	}
	cfg := testConfig(t.TempDir(), longLease)
	cfg.Defects = nil
	tell := `while (1) { open F, ">", "now.new"; print F time; close F; rename "now.new", "now"; select undef, undef, undef, 0.02 }`
	cfg.System = &spec.System{
		File: filepath.Join(t.TempDir(), "system.yaml"), Metadata: spec.Metadata{Name: "watch"},
		Spec: spec.SystemSpec{Target: "process", Services: map[string]spec.Service{"watch": {
			Command: []string{"perl", "-e", tell}, Clock: &spec.Clock{Env: "FAKETIME_TIMESTAMP_FILE"},
			Env: map[string]string{"LD_PRELOAD": libraries[0], "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
		}}},
	}
	b := &bench{Environment: up(t, cfg), t: t}
	var err error
	b.before, err = b.Snapshot(t.Context())
	require.NoError(t, err)
	file := filepath.Join(b.session().folder, "data", "watch", "now")
	ahead := func(want time.Duration) func() bool {
		return func() bool {
			text, _ := os.ReadFile(file)
			now, err := strconv.ParseInt(string(text), 10, 64)
			return err == nil && (time.Until(time.Unix(now, 0))-want).Abs() < 10*time.Second
		}
	}
	require.Eventually(t, ahead(0), soon, often)
	b.put("watch", faults.Hold{Clock: 2 * time.Hour})
	require.Eventually(t, ahead(2*time.Hour), soon, often)
	require.Eventually(t, func() bool { return b.status("watch").Receipt.Hits > 0 }, soon, often)
	assert.True(t, b.status("watch").Active)
	b.drop("watch")
	require.Eventually(t, ahead(0), soon, often)
}
