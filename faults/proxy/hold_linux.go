package proxy

import (
	"net"

	"golang.org/x/sys/unix"
)

// portHold is a socket bound to a port without listening: dials are refused,
// and the kernel gives the port to nobody who asks for any. With SO_REUSEADDR,
// which Go's listeners set too, the port can be listened on again.
type portHold struct{ fd int }

// holdPort returns nil where the port cannot be held. Listening again is then
// merely not guaranteed.
func holdPort(addr string) *portHold {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil
	}
	family, sa := sockaddr(a)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, sa); err != nil {
		unix.Close(fd)
		return nil
	}
	return &portHold{fd}
}

func sockaddr(a *net.TCPAddr) (int, unix.Sockaddr) {
	if ip := a.IP.To4(); ip != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
	}
	sa := &unix.SockaddrInet6{Port: a.Port}
	copy(sa.Addr[:], a.IP.To16())
	return unix.AF_INET6, sa
}

func (h *portHold) release() {
	if h != nil {
		unix.Close(h.fd)
	}
}
