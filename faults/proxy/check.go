package proxy

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"squall/faults"
)

// ProtocolHTTP is the protocol of an edge whose requests are parsed.
const ProtocolHTTP = "http"

// checkStage reports everything that is wrong with s on an edge of that protocol.
func checkStage(s faults.Stage, protocol string) error {
	var errs []error
	if n := countActs(s); n != 1 {
		errs = append(errs, fmt.Errorf("has %d of toxics, mode, reset and http, expected exactly one", n))
	}
	if s.Lease < 0 {
		errs = append(errs, fmt.Errorf("lease %v is negative", s.Lease))
	}
	if modes := []faults.LinkMode{"", faults.LinkRefuse, faults.LinkHang}; !slices.Contains(modes, s.Mode) {
		errs = append(errs, fmt.Errorf("unknown mode %q, expected refuse or hang", s.Mode))
	}
	for _, t := range s.Toxics {
		if t.Toxicity < 0 || t.Toxicity > 1 {
			errs = append(errs, fmt.Errorf("toxicity %v of %s is outside 0..1", t.Toxicity, t.Type))
		}
	}
	if s.HTTP != nil {
		if protocol != ProtocolHTTP {
			errs = append(errs, errors.New("http rules need an edge whose protocol is http"))
		}
		errs = append(errs, checkRule(*s.HTTP))
	}
	return errors.Join(errs...)
}

func countActs(s faults.Stage) (n int) {
	for _, set := range []bool{len(s.Toxics) > 0, s.Mode != "", s.Reset, s.HTTP != nil} {
		if set {
			n++
		}
	}
	return n
}

func checkRule(r faults.HTTPRule) error {
	var errs []error
	switch r.Action {
	case faults.HTTPStatus:
		if r.Status < 200 || r.Status > 599 {
			errs = append(errs, fmt.Errorf("status %d is outside 200..599", r.Status))
		}
	case faults.HTTPDelay:
		if r.Delay <= 0 {
			errs = append(errs, fmt.Errorf("delay %v is not positive", r.Delay))
		}
	case faults.HTTPAbort, faults.HTTPLoseReply:
	default:
		errs = append(errs, fmt.Errorf("unknown http action %q, expected status, delay, abort or lose-reply", r.Action))
	}
	for k, v := range r.Header {
		if k == "" || strings.ContainsAny(k, " :\r\n") || strings.ContainsAny(v, "\r\n") {
			errs = append(errs, fmt.Errorf("header %q is malformed", k))
		}
	}
	if _, err := path.Match(r.Match.Path, "/"); err != nil {
		errs = append(errs, fmt.Errorf("path pattern %q: %w", r.Match.Path, err))
	}
	if p := r.Match.Probability; !(p >= 0 && p <= 1) {
		errs = append(errs, fmt.Errorf("probability %v is outside 0..1", p))
	}
	return errors.Join(errs...)
}
