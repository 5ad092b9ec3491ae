package proxy

import (
	"bytes"
	"errors"
)

// maxNATSLine bounds a control line; servers take 4 kB by default.
const maxNATSLine = 64 << 10

var (
	errNATSMore = errors.New("control line is not complete")
	errNotNATS  = errors.New("not the NATS client protocol")
)

// natsOp is an operation by name. One that carries a message has a subject, of
// what is delivered the subscription, perhaps a reply subject, with headers
// their size, and the size of all.
type natsOp struct {
	name             string
	message          bool
	delivers, header bool
}

// What each side may send.
var (
	natsUp = []natsOp{
		{name: "PUB", message: true}, {name: "HPUB", message: true, header: true}, {name: "PING"}, {name: "PONG"},
		{name: "SUB"}, {name: "UNSUB"}, {name: "CONNECT"}, {name: "+OK"}, {name: "-ERR"},
	}
	natsDown = []natsOp{
		{name: "MSG", message: true, delivers: true}, {name: "HMSG", message: true, delivers: true, header: true},
		{name: "PING"}, {name: "PONG"}, {name: "INFO"}, {name: "+OK"}, {name: "-ERR"},
	}
)

// natsFrame is one operation. Its slices are parts of the buffer it was read from.
type natsFrame struct {
	op      natsOp
	line    int // bytes of the control line with its end
	header  int // bytes of the header block
	payload int // bytes of header block and body
	subject []byte
	reply   []byte
	replyAt int // where the reply begins in the control line
}

// size is all bytes of the operation.
func (f *natsFrame) size() int {
	if !f.op.message {
		return f.line
	}
	return f.line + f.payload + len("\r\n")
}

// readNATS reads the operation that p begins with, which is one of ops.
// errNATSMore says that its control line is not complete; anything that is not
// the client protocol beyond doubt, such as a TLS handshake, is told by its
// first wrong byte.
func readNATS(ops []natsOp, p []byte) (f natsFrame, err error) {
	if f.op, err = natsOpOf(ops, p); err != nil {
		return f, err
	}
	end := bytes.IndexByte(p[:min(len(p), maxNATSLine)], '\n')
	switch {
	case end < 0 && len(p) >= maxNATSLine:
		return f, errNotNATS
	case end < 0:
		return f, errNATSMore
	}
	line := bytes.TrimSuffix(p[:end], []byte("\r"))
	if bytes.IndexByte(line, '\r') >= 0 {
		return f, errNotNATS
	}
	f.line = end + 1
	if f.op.message && !f.args(line) {
		return f, errNotNATS
	}
	return f, nil
}

// natsOpOf finds the operation by its name, which may still be coming. Servers
// and clients take names in either case.
func natsOpOf(ops []natsOp, p []byte) (natsOp, error) {
	more := false
	for _, op := range ops {
		n := min(len(p), len(op.name))
		switch {
		case !sameLetters(p[:n], op.name[:n]):
		case len(p) <= len(op.name):
			more = true
		case isNATSSpace(p[n]) || !op.message && (p[n] == '\r' || p[n] == '\n'):
			return op, nil
		}
	}
	if more {
		return natsOp{}, errNATSMore
	}
	return natsOp{}, errNotNATS
}

// sameLetters compares with a name in capitals, of which only letters fold.
func sameLetters(p []byte, name string) bool {
	for i, c := range p {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// args reads what follows the name of a message.
func (f *natsFrame) args(line []byte) bool {
	var words [5]natsWord
	n := 0
	for at := len(f.op.name); ; n++ {
		for at < len(line) && isNATSSpace(line[at]) {
			at++
		}
		if at == len(line) {
			break
		}
		if n == len(words) {
			return false
		}
		begin := at
		for at < len(line) && !isNATSSpace(line[at]) {
			at++
		}
		words[n] = natsWord{begin, line[begin:at]}
	}
	return f.take(words[:n])
}

// natsWord is a word of a control line and where it begins.
type natsWord struct {
	at   int
	text []byte
}

func (f *natsFrame) take(words []natsWord) bool {
	before, sizes := 1, 1 // the subject, and the size of all
	if f.op.delivers {
		before++
	}
	if f.op.header {
		sizes++
	}
	switch len(words) - before - sizes {
	case 0:
	case 1:
		f.reply, f.replyAt = words[before].text, words[before].at
	default:
		return false
	}
	f.subject, words = words[0].text, words[len(words)-sizes:]
	all, ok := natsSize(words[sizes-1].text)
	if f.payload = all; !ok || !f.op.header {
		return ok
	}
	f.header, ok = natsSize(words[0].text)
	return ok && f.header <= all
}

// natsSize takes what servers take: up to nine digits.
func natsSize(word []byte) (n int, ok bool) {
	if len(word) == 0 || len(word) > 9 {
		return 0, false
	}
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

func isNATSSpace(c byte) bool { return c == ' ' || c == '\t' }
