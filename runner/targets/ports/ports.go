// Package ports finds loopback ports that stay free until they are bound.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
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

// Held hands out free loopback ports and holds each with a listener until it
// is released just before its user binds it. They lie outside the range of
// outgoing connections: a proxy that refuses gives its port up for a while, and
// a connection of any other program must not take it meanwhile.
type Held struct {
	held      map[string]net.Listener
	low, high int // ports are drawn from [low, high)
}

// New holds no port yet.
func New() *Held {
	low, high := portRange(ephemeralPorts())
	return &Held{held: map[string]net.Listener{}, low: low, high: high}
}

// ephemeralPorts is the range from which the kernel serves outgoing connections.
func ephemeralPorts() (low, high int) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(string(text), &low, &high)
	}
	if err != nil {
		return defaultEphemeralLow, defaultEphemeralHigh
	}
	return low, high
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

// Take holds one more free port, as 127.0.0.1:PORT. Which one is not part of a run's chance: two
// runs of one seed side by side must not meet.
func (p *Held) Take() (string, error) {
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

// Release gives a port up to the process that will bind it now.
func (p *Held) Release(addr string) {
	if l, ok := p.held[addr]; ok {
		_ = l.Close()
		delete(p.held, addr)
	}
}

// ReleaseAll gives up what is still held.
func (p *Held) ReleaseAll() {
	for addr := range p.held {
		p.Release(addr)
	}
}
