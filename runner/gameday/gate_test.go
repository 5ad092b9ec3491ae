package gameday

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/scenarios/spec"
)

// A plan is run only if nothing speaks against it; each reason alone suffices.
func TestRefusals(t *testing.T) {
	ana, ben := newKey(t, "ana", "ed25519"), newKey(t, "ben", "ed25519")
	for name, tt := range map[string]struct {
		change func(f *Facts)
		want   string // "" for none
	}{
		"nothing":            {func(*Facts) {}, ""},
		"drift":              {func(f *Facts) { f.Now.Steps[1].Faults[0].On = "front" }, `drift since the plan was made: steps.f.faults.f.on: was "back", is "front"`},
		"an input":           {func(f *Facts) { f.Now.Inputs = map[string]string{"day.yaml": "bb"} }, `drift since the plan was made: inputs.day.yaml: was "aa", is "bb"`},
		"not resolvable":     {func(f *Facts) { f.Problems = spec.Problems{{Msg: "unknown target"}} }, "the day cannot be resolved any more: : unknown target"},
		"expired":            {func(f *Facts) { f.At = f.Plan.Expires }, "the plan expired at 2026-11-21T09:00:00Z: plan it again"},
		"from the future":    {func(f *Facts) { f.At = made.Add(-2 * time.Minute) }, "which has not come yet: a clock is wrong"},
		"nobody approved":    {func(f *Facts) { f.Signatures = nil }, "it needs 2 of ana, ben to approve, nobody has"},
		"one approved":       {func(f *Facts) { delete(f.Signatures, "ben.sig") }, "it needs 2 of ana, ben to approve, ana only"},
		"one approved twice": {func(f *Facts) { f.Signatures["ben.sig"] = f.Signatures["ana.sig"] }, "ana only"},
		"a dead signature":   {func(f *Facts) { f.Signatures["x.sig"] = []byte("x") }, "approval x.sig: not an SSH signature"},
		"approver left":      {func(f *Facts) { f.Approvers = f.Approvers[:1] }, "signed with a key that is no approver's"},
		"outside the window": {func(f *Facts) {
			f.Window = &spec.TimeWindow{From: "13:00", To: "14:00", Zone: "UTC"}
		}, "outside the window 13:00 to 14:00 UTC"},
		"in the window": {func(f *Facts) { f.Window = &spec.TimeWindow{From: "09:00", To: "14:00", Zone: "UTC"} }, ""},
		"freeze":        {func(f *Facts) { f.Frozen = "FREEZE" }, "there is a freeze: FREEZE exists"},
		"open journal":  {func(f *Facts) { f.Open = []string{"out/x"} }, "left something to undo: out/x: squall heal"},
		"preflight":     {func(f *Facts) { f.Preflight = []string{"k6 is missing"} }, "preflight: k6 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			planned := func() *Plan {
				c, ps := compileDay(t, noLimits, fault("proc-kill", "back", ""))
				require.Empty(t, ps)
				return c.Plan
			}
			f := Facts{Plan: planned(), Now: planned(), At: made.Add(time.Hour), Approvers: []spec.Approver{ana.approver, ben.approver}, Signatures: map[string][]byte{}}
			for _, k := range []keyPair{ana, ben} {
				sig, err := Sign(f.Plan.Hash(), k.signer)
				require.NoError(t, err)
				f.Signatures[k.approver.Name+".sig"] = sig
			}
			tt.change(&f)
			why := strings.Join(Refusals(f), "\n")
			if tt.want == "" {
				assert.Empty(t, why)
				return
			}
			assert.Contains(t, why, tt.want)
		})
	}
}
