package inject

import (
	"io"
	"net"

	"squall/faults"
)

// At 99.9% one packet of a thousand passes, and the seed decides which: none of
// the few that are counted here.
func init() {
	conform(entry{kind: "net-blackhole", on: "client -> echo", params: map[string]any{"stream": "upstream"}, caller: dialler, hit: silence, receipt: uses})
	conform(entry{kind: "net-loss", on: "client -> echo", params: map[string]any{"loss": "99.9%", "stream": "upstream"}, caller: dialler, hit: silence, receipt: uses})
}

// dialCaller is an echoCaller that dials for each use and sees it closed on both
// sides: what cannot connect sends one packet in its patience, and what has
// ended sends none. What fell silent in between closes in the kernel, which goes
// on trying when the fault has gone.
type dialCaller struct{ echoCaller }

func dialler(l *lab) caller {
	return &dialCaller{echoCaller{socket{addr: l.env.ClientEnv()["ECHO"]}}}
}

func (c *dialCaller) use() exchange {
	defer c.close()
	return c.do(func(x *exchange) error {
		_, err := io.WriteString(c.conn, "hello\n")
		if err == nil {
			err = c.conn.(*net.TCPConn).CloseWrite()
		}
		if err == nil {
			var all []byte
			all, err = io.ReadAll(c.in)
			x.body = string(all)
		}
		return err
	})
}

// refusals counts what callers of a refusing edge meet, each use its own reset
// or refusal; without the packet filter the refusals are not counted.
func refusals(seen []use) uint64 {
	if faults.Builtin()["net-loss"].Missing() != "" {
		return callers(seen)
	}
	return uses(seen)
}
