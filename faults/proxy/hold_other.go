//go:build !linux

package proxy

// portHold keeps a port while nothing listens on it; only Linux can.
type portHold struct{}

func holdPort(string) *portHold { return nil }

func (*portHold) release() {}
