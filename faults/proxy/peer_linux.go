package proxy

import (
	"net"

	"golang.org/x/sys/unix"
)

// States of enum tcp_state in which the peer has closed its side.
const (
	tcpClose     = 7
	tcpCloseWait = 8
)

// peerGone asks the kernel whether the other end has closed, without reading.
func peerGone(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		gone = err == nil && (info.State == tcpClose || info.State == tcpCloseWait)
	})
	return gone || err != nil
}
