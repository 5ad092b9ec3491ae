package proxy

import (
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// Toxiproxy's own client must find a Toxiproxy.
func TestStockClient(t *testing.T) {
	upstream := tcpServer(t, echo)
	r := newRig(t, "tcp", upstream, Options{})
	r.put("ours", faults.Stage{Owner: "run-1", Toxics: latency("1").Toxics})
	stock := toxiproxy.NewClient(r.base)

	version, err := stock.Version()
	require.NoError(t, err)
	assert.JSONEq(t, `{"version":"2.12.0"}`, string(version))

	p, err := stock.CreateProxy("db", "127.0.0.1:0", upstream)
	require.NoError(t, err)
	assert.NotContains(t, p.Listen, ":0")
	_, err = stock.CreateProxy("db", "127.0.0.1:0", upstream)
	assert.ErrorContains(t, err, "HTTP 409: proxy already exists")
	_, err = stock.Proxy("none")
	assert.ErrorContains(t, err, "HTTP 404: proxy not found")
	_, err = stock.CreateProxy("", "", "")
	assert.ErrorContains(t, err, "HTTP 400: missing required field")

	toxic, err := p.AddToxic("", "latency", "", 1, toxiproxy.Attributes{"latency": 50})
	require.NoError(t, err)
	assert.Equal(t, "latency_downstream", toxic.Name)
	assert.Equal(t, toxiproxy.Attributes{"latency": 50.0, "jitter": 0.0}, toxic.Attributes)
	_, err = p.AddToxic("", "latency", "", 1, nil)
	assert.ErrorContains(t, err, "HTTP 409: toxic already exists")
	_, err = p.AddToxic("", "none", "", 1, nil)
	assert.ErrorContains(t, err, "unknown toxic type")
	nc, err := net.Dial("tcp", p.Listen)
	require.NoError(t, err)
	defer nc.Close()
	start := time.Now()
	roundTrip(t, nc, "slow")
	assert.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)

	toxic, err = p.UpdateToxic("latency_downstream", -1, toxiproxy.Attributes{"jitter": 1})
	require.NoError(t, err)
	assert.Equal(t, toxiproxy.Attributes{"latency": 50.0, "jitter": 1.0}, toxic.Attributes)
	assert.EqualValues(t, 1, toxic.Toxicity)
	toxics, err := p.Toxics()
	require.NoError(t, err)
	assert.Len(t, toxics, 1)
	require.NoError(t, p.RemoveToxic("latency_downstream"))
	assert.ErrorContains(t, p.RemoveToxic("latency_downstream"), "HTTP 404: toxic not found")

	require.NoError(t, p.Disable())
	_, err = net.Dial("tcp", p.Listen)
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = nc.Read(make([]byte, 1))
	assert.Error(t, err, "disabling cuts connections")
	require.NoError(t, p.Enable())
	nc, err = net.Dial("tcp", p.Listen)
	require.NoError(t, err)
	defer nc.Close()
	roundTrip(t, nc, "again")

	_, err = p.AddToxic("t", "timeout", "", 1, nil)
	require.NoError(t, err)
	require.NoError(t, p.Disable())
	require.NoError(t, stock.ResetState())
	p, err = stock.Proxy("db")
	require.NoError(t, err)
	assert.True(t, p.Enabled)
	assert.Empty(t, p.ActiveToxics)
	assert.Equal(t, "run-1", r.status("ours").Stage.Owner, "reset leaves stages of others alone")

	listen := p.Listen
	list, err := stock.Populate([]toxiproxy.Proxy{
		{Name: "db", Listen: listen, Upstream: upstream, Enabled: true},
		{Name: "two", Listen: "127.0.0.1:0", Upstream: upstream, Enabled: true},
	})
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, listen, list[0].Listen)
	all, err := stock.Proxies()
	require.NoError(t, err)
	assert.Len(t, all, 3)
	require.NoError(t, p.Delete())
	_, err = net.Dial("tcp", listen)
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestUpstreamCanBeMoved(t *testing.T) {
	r := newRig(t, "tcp", "127.0.0.1:1", Options{})
	p, err := toxiproxy.NewClient(r.base).Proxy("edge")
	require.NoError(t, err)
	p.Upstream = tcpServer(t, echo)
	require.NoError(t, p.Save())
	assert.Equal(t, r.addr, p.Listen)
	roundTrip(t, r.dial(), "moved")
	proxies, err := r.client.Proxies(r.ctx)
	require.NoError(t, err)
	assert.Equal(t, "a -> b", proxies["edge"].Edge, "what the stock client does not know stays")
}

func TestStagesAreChecked(t *testing.T) {
	r := newRig(t, "tcp", "127.0.0.1:1", Options{})
	tests := []struct{ name, body, want string }{
		{"empty", `{}`, "has 0 acts, expected exactly one"},
		{"two acts", `{"reset":true,"mode":"hang"}`, "has 2 acts"},
		{"mode", `{"mode":"x"}`, `unknown mode \"x\"`},
		{"field", `{"resett":true}`, "unknown field"},
		{"toxic", `{"toxics":[{"type":"x","toxicity":1}]}`, `unknown toxic type \"x\"`},
		{"toxicity", `{"toxics":[{"type":"latency","toxicity":2}]}`, "outside 0..1"},
		{"stream", `{"toxics":[{"type":"latency","toxicity":1,"stream":"up"}]}`, "unknown stream"},
		{"attributes", `{"toxics":[{"type":"latency","toxicity":1,"attributes":{"latency":"1s"}}]}`, "decode attributes of latency"},
		{"http on tcp", `{"http":{"action":"abort"}}`, "need an edge whose protocol is http or grpc"},
		{"action", `{"http":{"action":"x"}}`, "unknown http action"},
		{"status", `{"http":{"action":"status","status":42}}`, "status 42 is outside"},
		{"delay", `{"http":{"action":"delay"}}`, "is not positive"},
		{"path", `{"http":{"action":"abort"},"match":{"path":"["}}`, "path pattern"},
		{"header", `{"http":{"action":"abort","header":{"A":"b\r\nC: d"}}}`, "header"},
		{"probability", `{"http":{"action":"abort"},"match":{"probability":2}}`, "probability 2"},
		{"requests on tcp", `{"reset":true,"match":{"path":"/x"}}`, "choose requests"},
		{"some refused", `{"mode":"refuse","match":{"first":1}}`, "cannot be chosen among"},
		{"ramp", `{"reset":true,"ramp":-1}`, "is negative"},
		{"rate", `{"http":{"action":"rate-limit","status":429}}`, "is not positive"},
		{"jitter", `{"http":{"action":"delay","delay":1,"jitter":2}}`, "is not within it"},
		{"all of a body", `{"http":{"action":"truncate","share":1}}`, "cannot be let pass"},
		{"nothing to change", `{"http":{"action":"corrupt"}}`, "is not positive"},
		{"grpc on tcp", `{"http":{"action":"status","status":200,"grpc":{"code":14}}}`, "http or grpc"},
		{"lease", `{"reset":true,"lease":-1}`, "is negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, _ := http.NewRequest("PUT", r.base+stagePath("edge", "s"), strings.NewReader(tt.body))
			resp, err := r.client.http.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			assert.Equal(t, 400, resp.StatusCode)
			assert.Contains(t, string(body), tt.want)
		})
	}
	_, err := r.link.StageStatus(r.ctx, "s")
	assert.ErrorIs(t, err, faults.ErrNoStage)
	assert.NoError(t, r.link.DeleteStage(r.ctx, "s"), "delete is idempotent")
	assert.ErrorContains(t, r.client.Link("none", "x").PutStage(r.ctx, "s", latency("1")), "proxy not found")
}

func TestBrowsersAreRefused(t *testing.T) {
	r := newRig(t, "tcp", "127.0.0.1:1", Options{})
	req, _ := http.NewRequest("GET", r.base+"/proxies", nil)
	req.Header.Set("User-Agent", "Mozilla/5.0")
	resp, err := r.client.http.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 403, resp.StatusCode)
}

func TestMetrics(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	r.put("slow", latency("1"))
	roundTrip(t, r.dial(), "hello")
	want := []string{
		`squall_proxy_connections_total{proxy="edge"} 1`,
		`squall_proxy_connections{proxy="edge"} 1`,
		`squall_proxy_bytes_total{direction="upstream",proxy="edge"} 5`,
		`squall_proxy_bytes_total{direction="downstream",proxy="edge"} 5`,
		`squall_proxy_stage_hits{proxy="edge",stage="slow",unit="bytes"} 5`,
		`squall_proxy_wire_dropped_total 0`,
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) { // bytes are counted after they were passed on
		_, body := get(r.client.http, r.base+"/metrics")
		for _, line := range want {
			assert.Contains(c, body, line)
		}
	}, 5*time.Second, time.Millisecond)
}

// A reader that is too slow loses lines and is told how many; nobody waits.
func TestWireDropsAreCounted(t *testing.T) {
	h := newWireHub()
	r := h.subscribe()
	for range wireQueue + 3 {
		h.publish(&Exchange{})
	}
	var told strings.Builder
	assert.True(t, r.tellDropped(&told))
	assert.Equal(t, "{\"dropped\":3}\n", told.String())
	assert.False(t, r.tellDropped(&told))
	assert.EqualValues(t, 3, h.dropped.Load())
	h.close()
	n := 0
	for range r.lines {
		n++
	}
	assert.Equal(t, wireQueue, n, "what is queued is still delivered")
	_, open := <-h.subscribe().lines
	assert.False(t, open)
}

func TestDelays(t *testing.T) {
	var d delays
	assert.Empty(t, d.String())
	for i := range 100 {
		d.add(time.Duration(i+1) * time.Millisecond)
	}
	s := d.summary()
	for want, got := range map[int]time.Duration{50: s.P50, 90: s.P90, 99: s.P99} {
		assert.InEpsilon(t, time.Duration(want)*time.Millisecond, got, 0.07)
	}
	assert.Equal(t, 100*time.Millisecond, s.Max)
	assert.Equal(t, 5050*time.Millisecond, s.Sum)
	for _, v := range []time.Duration{0, 20, time.Microsecond, time.Second, time.Hour} {
		if v >= 16 {
			assert.InEpsilon(t, v, delayOf(delayBucket(v)), 0.07)
		}
		assert.Less(t, delayBucket(v), len(d.counts))
	}
}
