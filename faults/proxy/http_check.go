package proxy

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"squall/faults"
)

// checkHTTP reports everything that is wrong with a rule on an edge of that protocol.
func checkHTTP(r faults.HTTPRule, protocol string) error {
	var errs []error
	switch protocol {
	case ProtocolHTTP:
		if r.GRPC != nil {
			errs = append(errs, errors.New("a grpc status needs an edge whose protocol is grpc"))
		}
	case ProtocolGRPC:
		if r.Action != faults.HTTPDelay && (r.Action != faults.HTTPStatus || r.GRPC == nil) {
			errs = append(errs, fmt.Errorf("http action %q is not for grpc, expected delay, or status with a grpc status", r.Action))
		}
	default:
		errs = append(errs, errors.New("http rules need an edge whose protocol is http or grpc"))
	}
	for k, v := range r.Header {
		if k == "" || strings.ContainsAny(k, " :\r\n") || strings.ContainsAny(v, "\r\n") {
			errs = append(errs, fmt.Errorf("header %q is malformed", k))
		}
	}
	return errors.Join(append(errs, checkAction(r))...)
}

func checkAction(r faults.HTTPRule) error {
	switch r.Action {
	case faults.HTTPStatus, faults.HTTPRateLimit:
		if r.Status < 200 || r.Status > 599 {
			return fmt.Errorf("status %d is outside 200..599", r.Status)
		}
		if r.Action == faults.HTTPRateLimit && (!(r.Rate > 0) || math.IsInf(r.Rate, 0) || r.Burst < 1) {
			return fmt.Errorf("rate %v with burst %d is not positive", r.Rate, r.Burst)
		}
	case faults.HTTPDelay:
		if r.Delay <= 0 || r.Jitter < 0 || r.Jitter > r.Delay {
			return fmt.Errorf("delay %v is not positive, or jitter %v is not within it", r.Delay, r.Jitter)
		}
	case faults.HTTPTruncate:
		if r.Bytes < 0 || !(r.Share >= 0 && r.Share < 1) || r.Bytes > 0 && r.Share > 0 {
			return fmt.Errorf("%d bytes or a share of %v cannot be let pass", r.Bytes, r.Share)
		}
	case faults.HTTPCorrupt:
		if r.Bytes < 1 {
			return fmt.Errorf("%d bytes to change is not positive", r.Bytes)
		}
	case faults.HTTPDuplicate:
		if r.Bytes < 0 {
			return fmt.Errorf("%d bytes to keep is negative", r.Bytes)
		}
	case faults.HTTPAbort, faults.HTTPLoseReply:
	default:
		return fmt.Errorf("unknown http action %q", r.Action)
	}
	return nil
}
