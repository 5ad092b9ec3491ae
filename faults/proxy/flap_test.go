package proxy

import (
	"net"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

func flap(up, down time.Duration) faults.Stage {
	return faults.Stage{Flap: &faults.Flap{Up: up, Down: down}}
}

// refuses dials the edge and tells whether it is down.
func (r *rig) refuses() bool {
	nc, err := net.Dial("tcp", r.addr)
	if err == nil {
		nc.Close()
		return false
	}
	require.ErrorIs(r.t, err, syscall.ECONNREFUSED)
	return true
}

func TestFlapGoesDownAndUpByItself(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	live := r.dial()
	roundTrip(t, live, "before")
	r.put("flap", flap(300*time.Millisecond, 300*time.Millisecond))
	assert.True(t, r.refuses(), "it begins down")
	_, err := live.Read(make([]byte, 1))
	assert.ErrorIs(t, err, syscall.ECONNRESET)

	for cut := uint64(1); cut <= 3; cut++ {
		eventually(t, func() bool { return !r.refuses() }, "up again")
		// Connections of this test's own probing may be cut as well.
		eventually(t, func() bool { return r.status("flap").Applied == 0 }, "probes are over")
		before := r.status("flap").Receipt.Hits
		live, err := net.Dial("tcp", r.addr)
		if err != nil {
			continue // went down this very moment
		}
		live.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = live.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET, "cut when it goes down")
		live.Close()
		eventually(t, func() bool { return r.status("flap").Receipt.Hits == before+1 }, "exactly this one")
	}
	got := r.status("flap").Receipt
	assert.Equal(t, "connections", got.Unit)
	said := regexp.MustCompile(`^down (\d+) times, (\S+) in all; canary dial refused$`).FindStringSubmatch(got.Note)
	require.NotNil(t, said, got.Note)
	n, _ := strconv.Atoi(said[1])
	assert.GreaterOrEqual(t, n, 2)
	whole, err := time.ParseDuration(said[2])
	require.NoError(t, err)
	assert.GreaterOrEqual(t, whole, time.Duration(n-1)*30*time.Millisecond, "each outage lasts half its time at least")

	r.remove("flap")
	assert.False(t, r.refuses())
	roundTrip(t, r.dial(), "after")
}

func TestFlapStaysUpForItsTime(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	r.put("flap", flap(time.Minute, 20*time.Millisecond))
	eventually(t, func() bool { return !r.refuses() }, "up again")
	live := r.dial()
	for until := time.Now().Add(100 * time.Millisecond); time.Now().Before(until); {
		roundTrip(t, live, "up")
	}
}

// A stage that goes takes its clock along: the edge stays up.
func TestRemovedFlapStaysUp(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	for range 5 { // each time it is down when it goes
		r.put("flap", flap(20*time.Millisecond, 20*time.Millisecond))
		r.remove("flap")
		live := r.dial()
		for until := time.Now().Add(60 * time.Millisecond); time.Now().Before(until); {
			roundTrip(t, live, "up")
		}
	}
}

// While another stage refuses, the end of an outage opens nothing.
func TestFlapUnderNetDown(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	r.put("flap", flap(20*time.Millisecond, 20*time.Millisecond))
	r.put("down", faults.Stage{Mode: faults.LinkRefuse})
	for until := time.Now().Add(100 * time.Millisecond); time.Now().Before(until); {
		require.True(t, r.refuses())
	}
	r.remove("flap")
	assert.True(t, r.refuses(), "the other one stands")
	r.remove("down")
	assert.False(t, r.refuses())
}

func TestFirstOutageIsDrawnFromTheSeed(t *testing.T) {
	l := &link{name: "orders--payments"}
	other := &link{name: "orders--catalog"}
	st, err := newStage("flap", flap(time.Second, time.Second), "tcp")
	require.NoError(t, err)
	drawn := map[time.Duration]bool{}
	for seed := range uint64(200) {
		st.Seed = seed
		first := l.firstOutage(st)
		assert.Equal(t, first, l.firstOutage(st), "same seed, same length")
		assert.NotEqual(t, first, other.firstOutage(st), "edges do not flap in step")
		assert.LessOrEqual(t, first, time.Second)
		assert.Greater(t, first, time.Second/2)
		drawn[first] = true
	}
	assert.Len(t, drawn, 200)
}

func TestBadActs(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	for want, s := range map[string]faults.Stage{
		"flap of 0s up and 1s down is not positive":                       flap(0, time.Second),
		"accept -1s is negative":                                          {Accept: -time.Second},
		`unknown tls certificate "stolen", expected expired or untrusted`: {TLS: &faults.TLSAct{Cert: "stolen"}},
		"refused connections cannot be chosen among":                      {Flap: flap(time.Second, time.Second).Flap, Cap: 1},
		"has 2 acts": {Reset: true, TLS: &faults.TLSAct{Cert: faults.TLSExpired}},
	} {
		assert.ErrorContains(t, r.link.PutStage(r.ctx, "x", s), want)
	}
}
