package verdict

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "http",
		Summary: "Requests from outside the load are answered as they should be.",
		Doc: `The runner asks again and again while the phase lasts: every instance of a service, past its proxies, or through an edge of
the client, where they are in the wire log like any other call. An answer is as expected if its status, and header, text and JSON values where they are given, are; no answer is not.
In the fault phase it asks from when the faults that begin with the phase are in until those that end with it are to be reverted.
The bounds are on the share of such answers; without any, all must be. Too little evidence: fewer than 3 looks.`,
		Params:     httpCheck{},
		Bounds:     BoundsOptional,
		MinSamples: 3,
		New:        newHTTP,
	})
}

type httpCheck struct {
	spec.HTTPAct `yaml:",inline"`
	Every        spec.Duration     `yaml:"every" spec:"min=50ms,default=500ms" doc:"Distance of two looks at one instance."`
	After        spec.Duration     `yaml:"after" doc:"Looks in this time from the phase's start are not judged: the system has so long to notice."`
	Status       string            `yaml:"status" spec:"default=2xx" doc:"Status of the answer; x is any digit."`
	Contains     string            `yaml:"contains" doc:"Text that the body has."`
	Has          map[string]string `yaml:"has" doc:"Headers of the answer and their values; an empty value is any."`
	JSON         map[string]string `yaml:"json" doc:"Values in a JSON body by their paths, such as {items.0.sku: tea} (GJSON paths)."`

	bounds bounds
}

func newHTTP(d *Declared) Checker {
	h := &httpCheck{}
	d.decode(h)
	h.bounds = shareOf(d.Check)
	refuse(d, spec.Act{HTTP: &h.HTTPAct}.Mistakes(d.System))
	if len(h.Status) != 3 || strings.Trim(h.Status, "0123456789x") != "" {
		d.fail("status", "status: want three digits such as 503 or 2xx", "")
	}
	return h
}

func (h *httpCheck) look() Look {
	return Look{Every: time.Duration(h.Every), Act: spec.Act{HTTP: &h.HTTPAct}}
}

func (h *httpCheck) Judge(_ context.Context, v *View, f *Finding) {
	f.Expected = h.expected()
	judgeLooks(v, f, time.Duration(h.After), h.bounds, h.flaw)
}

func (h *httpCheck) expected() string {
	parts := []string{"status " + h.Status}
	if h.Contains != "" {
		parts = append(parts, strconv.Quote(h.Contains))
	}
	for _, key := range slices.Sorted(maps.Keys(h.Has)) {
		parts = append(parts, strings.TrimSuffix(key+": "+h.Has[key], ": "))
	}
	for _, path := range slices.Sorted(maps.Keys(h.JSON)) {
		parts = append(parts, path+" = "+h.JSON[path])
	}
	return "have " + strings.Join(parts, ", ")
}

// flaw says what is wrong with an answer; "" if nothing is.
func (h *httpCheck) flaw(p record.Probe) string {
	if !p.OK {
		return noAnswer(p)
	}
	if status := strconv.Itoa(int(p.Value)); !sameDigits(h.Status, status) {
		return "status " + status
	}
	if !strings.Contains(p.Text, h.Contains) {
		return fmt.Sprintf("the body lacks %q: %s", h.Contains, brief(p.Text))
	}
	for _, key := range slices.Sorted(maps.Keys(h.Has)) {
		if got, ok := header(p.Header, key); !ok || h.Has[key] != "" && got != h.Has[key] {
			return fmt.Sprintf("header %s is %q", key, got)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(h.JSON)) {
		if got := gjson.Get(p.Text, path).String(); got != h.JSON[path] {
			return fmt.Sprintf("%s is %q, not %q", path, got, h.JSON[path])
		}
	}
	return ""
}

func sameDigits(pattern, digits string) bool {
	for i := range pattern {
		if i >= len(digits) || pattern[i] != 'x' && pattern[i] != digits[i] {
			return false
		}
	}
	return len(digits) == len(pattern)
}

func header(all map[string]string, name string) (string, bool) {
	for key, value := range all {
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}
