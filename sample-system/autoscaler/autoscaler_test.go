package autoscaler

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestMain: started as "BINARY catalog" or "BINARY autoscaler", the test binary
// is that service, as shop is.
func TestMain(m *testing.M) {
	setups := map[string]service.Setup{"catalog": catalog, "autoscaler": Setup}
	if len(os.Args) == 2 && setups[os.Args[1]] != nil {
		os.Exit(serve(os.Args[1], setups[os.Args[1]]))
	}
	os.Exit(m.Run())
}

func serve(name string, setup service.Setup) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := service.FromEnv(name, os.Getenv, os.Stderr)
	if err != nil {
		return 2
	}
	h, err := service.New(ctx, cfg, setup)
	if err != nil || h.Run(ctx) != nil {
		return 1
	}
	return 0
}

// catalog is a service that registers and says which process it is.
func catalog(_ context.Context, h *service.Host) error {
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	h.Handle("GET /pid", func(w http.ResponseWriter, _ *http.Request) error {
		return service.WriteJSON(w, http.StatusOK, os.Getpid())
	})
	registry.Register(h, b, h.Addr)
	return nil
}

// shop is one base instance, an autoscaler of it and a client that balances and
// retries as those of the shop do.
type shop struct {
	t        *testing.T
	scaler   *process
	resolver *registry.Resolver
	client   *call.Client
	guard    *policy.Guard
}

func newShop(t *testing.T, env ...string) *shop {
	url := bustest.Start(t)
	cfg := servicetest.Config(t, map[string]string{"NATS_URL": url})
	cfg.Service, cfg.Name = "catalog", "catalog-1"
	servicetest.StartHost(t, catalog, cfg)
	s := &shop{t: t}
	client := servicetest.Config(t, map[string]string{"NATS_URL": url})
	servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		if err != nil {
			return err
		}
		s.resolver = registry.NewResolver(h, b, "catalog", "")
		s.client = call.New(h, "catalog", s.resolver)
		s.guard = policy.New(h, s.client.Edge, policy.Options{
			Timeout: 2 * time.Second, Retry: &policy.Retry{Attempts: 3, Delay: 50 * time.Millisecond, MaxDelay: time.Second},
		})
		return nil
	}, client)
	s.scaler = spawn(t, "autoscaler", append(env, "NATS_URL="+url)...)
	return s
}

// load calls the service so often a second until stop is called, which returns
// the pids that answered and the failures.
func (s *shop) load(perSecond int) (stop func() (pids map[int]int, failed []string)) {
	ctx, cancel := context.WithCancel(s.t.Context())
	pids, failed := map[int]int{}, []string{}
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			pid, err := policy.Read(ctx, s.guard, func(ctx context.Context) (pid int, err error) {
				err = s.client.Get(ctx, "/pid", &pid)
				return pid, err
			})
			if err == nil {
				pids[pid]++
			} else if ctx.Err() == nil {
				failed = append(failed, err.Error())
			}
		}
	})
	return func() (map[int]int, []string) {
		cancel()
		wg.Wait()
		return pids, failed
	}
}

func (s *shop) names() (names []string) {
	for _, i := range s.resolver.Instances() {
		names = append(names, i.Name)
	}
	return names
}

// TestScaleOutAndIn: a load step has new instances take their share; when it
// has gone they are drained, and no request fails on the way.
func TestScaleOutAndIn(t *testing.T) {
	t.Parallel()
	s := newShop(t, "SCALE_TARGET=20", "SCALE_MAX=2", "SCALE_IDLE=1s", "SCALE_EVERY=200ms")
	stop := s.load(50)
	require.Eventually(t, func() bool { return len(s.names()) == 3 }, 15*time.Second, 10*time.Millisecond, "scale out")
	assert.Equal(t, []string{"catalog-1", "catalog-11", "catalog-12"}, s.names())
	require.Eventually(t, func() bool {
		_, body := servicetest.Get(t, "http://"+s.scaler.addr+"/metrics")
		return strings.Contains(body, `autoscaler_instances{by="autoscaler"} 2`)
	}, 5*time.Second, 10*time.Millisecond)
	pids, failed := stop()
	assert.Empty(t, failed)

	stop = s.load(5)
	require.Eventually(t, func() bool { return len(s.names()) == 1 }, 15*time.Second, 10*time.Millisecond, "scale in")
	more, failed := stop()
	assert.Empty(t, failed)
	for pid := range more {
		pids[pid]++
	}
	assert.Len(t, pids, 3, "each instance has answered")
	for pid := range pids {
		require.Eventually(t, func() bool { return pid == os.Getpid() || !running(pid) }, 5*time.Second, 10*time.Millisecond)
	}
	assert.Equal(t, []string{"out catalog-11", "out catalog-12", "in catalog-12", "in catalog-11"}, s.decisions())

	require.NoError(t, s.scaler.Process.Signal(syscall.SIGTERM))
	s.scaler.lines.Wait()
	assert.NoError(t, s.scaler.Wait())
}

func (s *shop) decisions() (list []string) {
	code, body := servicetest.Get(s.t, "http://"+s.scaler.addr+"/audit/scaling")
	require.Equal(s.t, 200, code)
	var rows []audit.Row
	require.NoError(s.t, json.Unmarshal([]byte(body), &rows))
	for i, r := range rows {
		assert.Equal(s.t, "catalog", r.Key)
		assert.Equal(s.t, strconv.Itoa(i+1), r.ID)
		assert.NotEmpty(s.t, r.Attrs["reason"])
		list = append(list, r.State+" "+r.Attrs["instance"])
	}
	return list
}

// TestChildrenEndWithAutoscaler: whether it ends in order or is killed, what it
// has started ends too.
func TestChildrenEndWithAutoscaler(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"told to": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, "SCALE_TARGET=1", "SCALE_MAX=1", "SCALE_EVERY=200ms")
			stop := s.load(20)
			require.Eventually(t, func() bool { return len(s.names()) == 2 }, 15*time.Second, 10*time.Millisecond)
			pid := 0
			child := s.client.To(func(i registry.Instance) bool { return i.Name == "catalog-11" })
			require.NoError(t, child.Get(t.Context(), "/pid", &pid))
			stop()
			require.NoError(t, s.scaler.Process.Signal(sig))
			require.Eventually(t, func() bool { return !running(pid) }, 10*time.Second, 10*time.Millisecond, "outlives the autoscaler")
			s.scaler.lines.Wait()
			err := s.scaler.Wait()
			assert.Equal(t, sig == syscall.SIGTERM, err == nil, "%v", err)
		})
	}
}
