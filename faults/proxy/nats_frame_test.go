package proxy

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

func TestReadNATS(t *testing.T) {
	long := "CONNECT {" + strings.Repeat("x", maxNATSLine)
	for _, c := range []struct {
		down           bool
		in             string
		size           int // of the first operation
		subject, reply string
		err            error
	}{
		{false, "CONNECT {\"verbose\":false}\r\nPING\r\n", 27, "", "", nil},
		{false, "PUB orders.new 5\r\nhello\r\nPING", 25, "orders.new", "", nil},
		{false, "pub\torders.new  _INBOX.1\t0\r\n\r\n", 30, "orders.new", "_INBOX.1", nil},
		{false, "HPUB a r 12 14\r\n", 32, "a", "r", nil},
		{true, "MSG a 9 3\r\nabc\r\n", 16, "a", "", nil},
		{true, "MSG a 9 $JS.ACK.S.c.1.2.3.4.0 3\r\nabc\r\n", 38, "a", "$JS.ACK.S.c.1.2.3.4.0", nil},
		{true, "HMSG a 9 12 14\r\n", 32, "a", "", nil},
		{true, "INFO {}\n", 8, "", "", nil},
		{true, "+OK\r\n", 5, "", "", nil},
		{true, "-ERR 'no'\r\n", 11, "", "", nil},
		{false, "PU", 0, "", "", errNATSMore},
		{false, "PUB a 5\r", 0, "", "", errNATSMore},
		{false, "", 0, "", "", errNATSMore},
		{false, "\x16\x03\x01", 0, "", "", errNotNATS},          // TLS
		{false, "GET / HTTP/1.1\r\n", 0, "", "", errNotNATS},    // WebSocket
		{false, "PUT", 0, "", "", errNotNATS},                   // told before the line is complete
		{false, "MSG a 9 3\r\nabc\r\n", 0, "", "", errNotNATS},  // of the other side
		{true, "PUB a 3\r\nabc\r\n", 0, "", "", errNotNATS},     //
		{true, "RMSG $G a 3\r\nabc\r\n", 0, "", "", errNotNATS}, // between servers
		{false, "PUB a\r\n", 0, "", "", errNotNATS},             // no size
		{false, "PUB a b c 3\r\n", 0, "", "", errNotNATS},       // a word too many
		{false, "PUB a b c d e f 3\r\n", 0, "", "", errNotNATS}, //
		{false, "PUB a -1\r\n", 0, "", "", errNotNATS},          //
		{false, "PUB a 0x10\r\n", 0, "", "", errNotNATS},        //
		{false, "PUB a 1234567890\r\n", 0, "", "", errNotNATS},  // ten digits
		{false, "HPUB a 15 14\r\n", 0, "", "", errNotNATS},      // headers longer than all
		{false, "PUB a\r 3\r\n", 0, "", "", errNotNATS},         // servers differ on that
		{false, "PUBX a 3\r\n", 0, "", "", errNotNATS},          //
		{false, "PUB\r\n", 0, "", "", errNotNATS},               //
		{false, "\r\n", 0, "", "", errNotNATS},                  //
		{false, long[:maxNATSLine-1], 0, "", "", errNATSMore},   //
		{false, long[:maxNATSLine], 0, "", "", errNotNATS},      // bounded
	} {
		ops := natsUp
		if c.down {
			ops = natsDown
		}
		f, err := readNATS(ops, []byte(c.in))
		name := fmt.Sprintf("%.40q", c.in)
		require.ErrorIs(t, err, c.err, name)
		if c.err == nil {
			assert.Equal(t, c.size, f.size(), name)
			assert.Equal(t, c.subject, string(f.subject), name)
			assert.Equal(t, c.reply, string(f.reply), name)
			assert.True(t, c.reply == "" || strings.HasPrefix(c.in[f.replyAt:], c.reply), name)
		}
	}
}

func message(t testing.TB, ops []natsOp, raw string) *natsMessage {
	t.Helper()
	f, err := readNATS(ops, []byte(raw))
	require.NoError(t, err)
	require.Equal(t, len(raw), f.size())
	return &natsMessage{f, []byte(raw)}
}

func TestNATSMessage(t *testing.T) {
	head := "NATS/1.0\r\nNats-Msg-Id: o-1.2\r\nX-Request-Id:op-7\r\nEmpty:\r\n\r\n"
	m := message(t, natsUp, fmt.Sprintf("HPUB orders.new _INBOX.1 %d %d\r\n%sbody\r\n", len(head), len(head)+4, head))
	assert.Equal(t, "o-1.2", m.field("Nats-Msg-Id"))
	assert.Equal(t, "op-7", m.field("X-Request-Id"))
	assert.Empty(t, m.field("nats-msg-id"), "names have their case")
	assert.Equal(t, "body", string(m.body()))
	assert.Equal(t, "o-1.2", m.id())
	assert.Equal(t, string(m.raw), string(m.again()), "what is not JetStream's is copied as it is")

	short := message(t, natsDown, "MSG a.b 7 $JS.ACK.ORDERS.mail.9.17.3.1700000000.0 2\r\nok\r\n")
	assert.Equal(t, "ORDERS:17", short.id())
	assert.Equal(t, "MSG a.b 7 $JS.ACK.ORDERS.mail.10.17.3.1700000000.0 2\r\nok\r\n", string(short.again()))
	long := message(t, natsDown, "MSG 1 7 $JS.ACK._.hash.ORDERS.mail.1.17.3.1700000000.0.rnd 2\r\nok\r\n")
	assert.Equal(t, "ORDERS:17", long.id())
	assert.Equal(t, "MSG 1 7 $JS.ACK._.hash.ORDERS.mail.2.17.3.1700000000.0.rnd 2\r\nok\r\n", string(long.again()))

	for body, want := range map[string]bool{"": true, "+ACK": true, "-NAK": false, "+WPI": false, "+TERM": false, "-NAK {\"delay\":1}": false} {
		m := message(t, natsUp, fmt.Sprintf("PUB $JS.ACK.ORDERS.mail.1.17.3.1.0 %d\r\n%s\r\n", len(body), body))
		assert.Equal(t, want, m.isAck(), body)
	}
	assert.True(t, message(t, natsDown, "MSG _INBOX.1 1 27\r\n{\"stream\":\"ORDERS\",\"seq\":1}\r\n").isPubAck())
	assert.False(t, message(t, natsDown, "MSG _INBOX.1 1 12\r\n{\"error\":{}}\r\n").isPubAck())
}

// FuzzNATS: however the bytes come, the lane finds the same operations in them
// as a reader that has them all at once, and passes every byte unchanged.
func FuzzNATS(f *testing.F) {
	for _, s := range []string{
		"CONNECT {}\r\nPING\r\nPUB a 3\r\nabc\r\nHPUB a.b r 12 14\r\nNATS/1.0\r\n\r\nok\r\n", "PUB a 3\r\nabcPING\r\n",
		"PUB a 3\nabc\r\nPUB a 0\r\n\r\n", "SUB > 1\r\nUNSUB 1\r\nPONG\r\n", "PUB a 99999999\r\n", "\x16\x03\x01\x00", "PUB a\rb 3\r\n",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, p []byte, step uint8) {
		whole := operations(natsUp, p)
		for at := 0; at <= len(p); at += 1 + int(step) { // what is known early stays so
			for i, size := range operations(natsUp, p[:at]) {
				if i < len(whole) {
					require.Equal(t, whole[i], size)
				}
			}
		}
		assert.Equal(t, string(p), string(throughLane(t, p, 1+int(step))))
	})
}

// operations is the sizes of the operations whose control lines are complete.
func operations(ops []natsOp, p []byte) (sizes []int) {
	for {
		f, err := readNATS(ops, p)
		if err != nil {
			return sizes
		}
		sizes = append(sizes, f.size())
		if f.size() > len(p) || f.op.message && !bytes.HasSuffix(p[:f.size()], []byte("\r\n")) {
			return sizes
		}
		p = p[f.size():]
	}
}

// throughLane passes p in pieces through a lane with a rule that looks at every
// message and chooses none.
func throughLane(t *testing.T, p []byte, step int) []byte {
	t.Helper()
	st, err := newStage("f", faults.Stage{Bus: &faults.BusRule{Of: faults.BusPublish, Subject: ">", Action: faults.BusDrop}}, ProtocolNATS)
	require.NoError(t, err)
	st.tally = newTally(st.Stage)
	st.Match.From = 1 << 60
	n := &natsConn{conn: &conn{link: &link{}, done: make(chan struct{})}}
	n.link.setting.Store(newSetting(&setting{}, []*stage{st}))
	var out bytes.Buffer
	err, broken := newNATSLane(n, &inPieces{p, step}, &out, false).pump()
	require.ErrorIs(t, err, io.EOF)
	require.False(t, broken)
	return out.Bytes()
}

type inPieces struct {
	p    []byte
	step int
}

func (r *inPieces) Read(p []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.p[:min(r.step, len(r.p))])
	r.p = r.p[n:]
	return n, nil
}
