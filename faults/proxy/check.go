package proxy

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"squall/faults"
)

// The protocols of edges whose requests or calls are parsed.
const (
	ProtocolHTTP = "http"
	ProtocolGRPC = "grpc" // over HTTP/2 without TLS
)

// checkStage reports everything that is wrong with s on an edge of that protocol.
func checkStage(s faults.Stage, protocol string) error {
	var errs []error
	if n := countActs(s); n != 1 {
		errs = append(errs, fmt.Errorf("has %d acts, expected exactly one of toxics, mode, reset, flap, accept, tls, packets, http, bus and query", n))
	}
	if s.Lease < 0 || s.Ramp < 0 {
		errs = append(errs, fmt.Errorf("lease %v or ramp %v is negative", s.Lease, s.Ramp))
	}
	errs = append(errs, checkChoice(s))
	if modes := []faults.LinkMode{"", faults.LinkRefuse, faults.LinkHang}; !slices.Contains(modes, s.Mode) {
		errs = append(errs, fmt.Errorf("unknown mode %q, expected refuse or hang", s.Mode))
	}
	if f := s.Flap; f != nil && (f.Up <= 0 || f.Down <= 0) {
		errs = append(errs, fmt.Errorf("flap of %v up and %v down is not positive", f.Up, f.Down))
	}
	if s.Accept < 0 {
		errs = append(errs, fmt.Errorf("accept %v is negative", s.Accept))
	}
	if s.TLS != nil && s.TLS.Cert != faults.TLSExpired && s.TLS.Cert != faults.TLSUntrusted {
		errs = append(errs, fmt.Errorf("unknown tls certificate %q, expected expired or untrusted", s.TLS.Cert))
	}
	if s.Packets != nil {
		errs = append(errs, s.Packets.Check())
	}
	for _, t := range s.Toxics {
		if t.Toxicity < 0 || t.Toxicity > 1 {
			errs = append(errs, fmt.Errorf("toxicity %v of %s is outside 0..1", t.Toxicity, t.Type))
		}
	}
	if s.HTTP != nil {
		errs = append(errs, checkHTTP(*s.HTTP, protocol))
	}
	if s.Bus != nil {
		if protocol != ProtocolNATS {
			errs = append(errs, errors.New("bus rules need an edge whose protocol is nats"))
		}
		errs = append(errs, checkBus(*s.Bus))
	}
	if s.Query != nil && protocol != ProtocolPostgres {
		errs = append(errs, errors.New("query rules need an edge whose protocol is postgres"))
	}
	return errors.Join(errs...)
}

// checkChoice checks what the stage is limited to.
func checkChoice(s faults.Stage) error {
	var errs []error
	m := s.Match
	if s.HTTP == nil && (m.Method != "" || m.Path != "") {
		errs = append(errs, errors.New("method and path choose requests, which only http rules do"))
	}
	if s.HTTP == nil && s.Bus == nil && (len(m.Header) > 0 || m.Key != "") {
		errs = append(errs, errors.New("header and key choose requests or messages, which only http and bus rules do"))
	}
	chosen := m.From > 0 || m.First > 0 || m.Every > 0 || m.Probability > 0
	if (s.Mode == faults.LinkRefuse || s.Flap != nil) && (chosen || s.Ramp > 0 || s.Cap > 0) {
		errs = append(errs, errors.New("refused connections cannot be chosen among: the kernel refuses them all"))
	}
	if s.Packets != nil && (chosen || s.Cap > 0) {
		errs = append(errs, errors.New("packets cannot be chosen among or counted out: the kernel knows no connections of a fault"))
	}
	if _, err := path.Match(m.Path, "/"); err != nil {
		errs = append(errs, fmt.Errorf("path pattern %q: %w", m.Path, err))
	}
	if p := m.Probability; !(p >= 0 && p <= 1) {
		errs = append(errs, fmt.Errorf("probability %v is outside 0..1", p))
	}
	return errors.Join(errs...)
}

func countActs(s faults.Stage) (n int) {
	for _, set := range []bool{len(s.Toxics) > 0, s.Mode != "", s.Reset, s.Flap != nil, s.Accept != 0, s.TLS != nil, s.Packets != nil, s.HTTP != nil, s.Bus != nil, s.Query != nil} {
		if set {
			n++
		}
	}
	return n
}
