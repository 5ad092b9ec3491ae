package proxy

import "sync"

const (
	blockSize = 32 << 10
	// blockSpare is the least that is read into a block: small messages share one.
	blockSpare = 4 << 10
)

// block is a buffer in which bytes lie until they have passed. It belongs to
// one direction of one connection and returns to the pool with its last piece.
type block struct {
	refs int // pieces that lie in it, and one for who reads into it
	used int
	data [blockSize]byte
}

var blocks = sync.Pool{New: func() any { return new(block) }}

func newBlock() *block {
	b := blocks.Get().(*block)
	b.refs, b.used = 1, 0
	return b
}

func (b *block) release() {
	if b == nil {
		return
	}
	if b.refs--; b.refs == 0 {
		blocks.Put(b)
	}
}
