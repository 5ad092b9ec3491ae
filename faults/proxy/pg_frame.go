package proxy

import (
	"encoding/binary"
	"errors"
)

var (
	errPGMore = errors.New("message is not complete")
	errNotPG  = errors.New("not the PostgreSQL protocol")
)

// Request codes of a first packet, besides the protocol versions 3.x.
const (
	pgCancel = 80877102
	pgTLS    = 80877103
	pgGSS    = 80877104

	maxPGFirst = 10000   // bytes of a first packet, as servers take
	maxPGSize  = 1 << 30 // bytes of a message, as servers take
)

// pgFirst reads the size and code of a packet before the session has begun.
// What is none, such as a TLS handshake, is told at once.
func pgFirst(p []byte) (size int, code uint32, err error) {
	if len(p) > 0 && p[0] != 0 {
		return 0, 0, errNotPG // longer than any
	}
	if len(p) < 8 {
		return 0, 0, errPGMore
	}
	size, code = int(binary.BigEndian.Uint32(p)), binary.BigEndian.Uint32(p[4:])
	if size < 8 || size > maxPGFirst || code>>16 != 3 && code != pgCancel && code != pgTLS && code != pgGSS {
		return 0, 0, errNotPG
	}
	return size, code, nil
}

// pgMessage reads the kind and size of a message of a session.
func pgMessage(p []byte) (kind byte, size int, err error) {
	if len(p) > 0 && (p[0] < '1' || p[0] > 'z') {
		return 0, 0, errNotPG
	}
	if len(p) < 5 {
		return 0, 0, errPGMore
	}
	n := binary.BigEndian.Uint32(p[1:])
	if n < 4 || n > maxPGSize {
		return 0, 0, errNotPG
	}
	return p[0], 1 + int(n), nil
}
