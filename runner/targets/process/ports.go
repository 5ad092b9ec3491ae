package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"

	"squall/faults"
	"squall/scenarios/spec"
)

// Range of outgoing ports where the kernel does not tell (Linux' default).
const (
	defaultEphemeralLow  = 32768
	defaultEphemeralHigh = 60999
)

const (
	lowestPort = 10000 // below live well-known services
	portTries  = 200
)

// ports hands out free loopback ports and holds each with a listener until it
// is released just before its user binds it. They lie outside the range of
// outgoing connections: a proxy that refuses gives its port up for a while, and
// a connection of any other program must not take it meanwhile.
type ports struct {
	held      map[string]net.Listener
	low, high int // ports are drawn from [low, high)
}

func newPorts() *ports {
	low, high := portRange(ephemeralPorts())
	return &ports{held: map[string]net.Listener{}, low: low, high: high}
}

// portRange is the wider side of the ephemeral range, and 0, 0 where it covers
// nearly everything.
func portRange(ephemeralLow, ephemeralHigh int) (low, high int) {
	const enough = 1000
	below, above := ephemeralLow-lowestPort, 65536-(ephemeralHigh+1)
	switch {
	case below >= enough && below >= above:
		return lowestPort, ephemeralLow
	case above >= enough:
		return ephemeralHigh + 1, 65536
	}
	return 0, 0
}

// take holds one more free port. Which one is not part of a run's chance: two
// runs of one seed side by side must not meet.
func (p *ports) take() (string, error) {
	var last error
	for range portTries {
		port := 0
		if p.high > p.low {
			port = p.low + rand.IntN(p.high-p.low)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			addr := l.Addr().String()
			p.held[addr] = l
			return addr, nil
		}
		last = err
	}
	return "", fmt.Errorf("find a free loopback port: %w", last)
}

// release gives a port up to the process that will bind it now.
func (p *ports) release(addr string) {
	if l, ok := p.held[addr]; ok {
		_ = l.Close()
		delete(p.held, addr)
	}
}

func (p *ports) releaseAll() {
	for addr := range p.held {
		p.release(addr)
	}
}

// place draws addresses for all services, links and the APIs of our own processes.
func (p *ports) place(sys *spec.System, at *site) error {
	var errs []error
	take := func() string {
		addr, err := p.take()
		errs = append(errs, err)
		return addr
	}
	at.services, at.links = map[string]string{}, map[string]string{}
	at.api = take()
	if at.anyNeeds(faults.NeedsData) {
		at.disk = take()
	}
	for name, svc := range sys.Spec.Services {
		for _, port := range svc.Ports {
			if at.services[name+"."+port] = svc.At[port]; !svc.External() || sys.Spec.Target == spec.TargetCompose {
				at.services[name+"."+port] = take()
			}
		}
	}
	for _, e := range sys.Spec.Edges {
		at.links[e.Name()] = take()
	}
	return errors.Join(errs...)
}
