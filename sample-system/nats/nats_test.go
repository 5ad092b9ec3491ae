package nats

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestThreeNodes: they find each other, share a data folder, keep streams three
// times, and one may end.
func TestThreeNodes(t *testing.T) {
	var addrs []string
	for range 6 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
		require.NoError(t, l.Close())
	}
	data, began := t.TempDir(), time.Now()
	var hosts []*service.Host
	var stops []func()
	for i := range 3 {
		cfg := servicetest.Config(t, map[string]string{
			"SHOP_DATA": data, "NATS_CLIENT": addrs[i], "NATS_CLUSTER": addrs[3+i], "NATS_ROUTES": strings.Join(addrs[3:], ", nats://"),
		})
		cfg.Service, cfg.Name = "nats", fmt.Sprintf("nats-%d", i+1)
		h, stop := servicetest.Run(t, Setup, cfg)
		hosts, stops = append(hosts, h), append(stops, stop)
	}
	for _, h := range hosts {
		require.Eventually(t, func() bool {
			code, _ := servicetest.Get(t, "http://"+h.Addr()+"/readyz")
			return code == http.StatusOK
		}, 10*time.Second, 10*time.Millisecond)
	}
	t.Logf("ready after %v", time.Since(began))
	leaders := 0.0
	for _, h := range hosts {
		leaders += servicetest.Metric(t, h, "nats_meta_leader")
	}
	assert.EqualValues(t, 1, leaders)

	conn, err := nats.Connect(strings.Join(addrs[:2], ","))
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	stops[2]()
	require.Eventually(t, func() bool { _, err := js.Publish(t.Context(), "s", nil); return err == nil }, 20*time.Second, 50*time.Millisecond)
	stops[1]()
	stops[0]()
}

// TestAddressInUse: better dead than half alive, so that it is started again.
func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	cfg := servicetest.Config(t, map[string]string{"NATS_CLIENT": l.Addr().String(), "NATS_CLUSTER": "127.0.0.1:0", "NATS_ROUTES": "127.0.0.1:1"})
	h, err := service.New(t.Context(), cfg, Setup)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.ErrorContains(t, h.Run(ctx), "address already in use")
}

func TestOptions(t *testing.T) {
	good := map[string]string{"SHOP_DATA": "/data", "NATS_CLIENT": "127.0.0.1:1", "NATS_CLUSTER": "127.0.0.1:2", "NATS_ROUTES": "127.0.0.1:2,nats://127.0.0.1:3"}
	for name, tt := range map[string]struct{ variable, value, want string }{
		"as it should be":       {"", "", ""},
		"no client address":     {"NATS_CLIENT", "", "NATS_CLIENT"},
		"port that is none":     {"NATS_CLUSTER", "127.0.0.1:99999", "NATS_CLUSTER"},
		"route without address": {"NATS_ROUTES", "127.0.0.1:2,", "NATS_ROUTES: cannot use \"\""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := servicetest.Config(t, good)
			cfg.Name = "nats-1"
			cfg.Getenv = func(v string) string {
				if v == tt.variable {
					return tt.value
				}
				return good[v]
			}
			opts, err := options(cfg)
			if tt.want != "" {
				require.ErrorContains(t, err, tt.want)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "/data/nats-1", opts.StoreDir)
			require.Len(t, opts.Routes, 2)
			assert.Equal(t, "nats://127.0.0.1:3", opts.Routes[1].String())
		})
	}
	cfg := servicetest.Config(t, good)
	cfg.Data = ""
	_, err := options(cfg)
	assert.ErrorContains(t, err, "SHOP_DATA")
}
