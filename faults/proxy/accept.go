package proxy

import "time"

// holdNew keeps a new connection waiting as the stages say. The kernel has
// completed its handshake, so the caller waits for the first reply, not for
// the connect. It is false when the connection was ended meanwhile. A caller
// that gives up is not looked for: a busy server finds out when it comes to it.
func (c *conn) holdNew() bool {
	for _, st := range c.link.current().accept {
		if !c.chosen(st) {
			continue
		}
		st.hit(1)
		timer := time.NewTimer(st.Accept)
		select {
		case <-timer.C:
		case <-st.removed:
		case <-c.done:
			timer.Stop()
			c.log(errWordReset)
			return false
		}
		timer.Stop()
	}
	return true
}
