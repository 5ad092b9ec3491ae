//go:build !linux

package proxy

import "net"

// peerGone cannot be known here without reading; a caller that left is then
// noticed when the wait is over.
func peerGone(*net.TCPConn) bool { return false }

// peekByte cannot leave here what it reads: every caller is taken for one that
// speaks TLS, and one that does not has its connection ended.
func peekByte(*net.TCPConn) (byte, error) { return tlsFirstByte, nil }

// unacked cannot be known here: a reset may take back what was just written.
func unacked(*net.TCPConn) int { return 0 }
