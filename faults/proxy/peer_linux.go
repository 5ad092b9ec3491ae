package proxy

import (
	"errors"
	"io"
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

// peekByte waits for the next byte from the peer and leaves it to be read.
func peekByte(c *net.TCPConn) (byte, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var b [1]byte
	var n int
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		n, _, rerr = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK)
		return rerr != unix.EAGAIN
	})
	if err == nil && rerr == nil && n == 0 {
		err = io.EOF
	}
	return b[0], errors.Join(err, rerr)
}

// unacked is how many bytes written to c its peer's kernel does not have yet.
func unacked(c *net.TCPConn) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err != nil {
		return 0
	}
	return n
}
