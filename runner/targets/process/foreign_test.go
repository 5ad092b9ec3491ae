package process

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/scenarios/spec"
)

// with changes the service back of a pair.
func with(cfg Config, change func(*spec.Service)) Config {
	back := cfg.System.Spec.Services["back"]
	change(&back)
	cfg.System.Spec.Services["back"] = back
	return cfg
}

func TestReadyByAllSigns(t *testing.T) {
	cfg := with(testConfig(t.TempDir(), longLease), func(s *spec.Service) {
		s.Ready = spec.Ready{
			HTTP: "/ready", TCP: "http", Log: "^serving on 127",
			Command: []string{os.Args[0], "knows", "${self.http}"}, Within: spec.Duration(20 * time.Second),
		}
	})
	up(t, cfg)
}

func TestNotReadySaysWhichSign(t *testing.T) {
	within := spec.Duration(300 * time.Millisecond)
	for name, tc := range map[string]struct {
		ready spec.Ready
		want  string
	}{
		"log":     {spec.Ready{Log: "^never said$", Within: within}, "no line of its output matches ^never said$"},
		"command": {spec.Ready{Command: []string{"false"}, Within: within}, "false: exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			env := New(with(testConfig(t.TempDir(), longLease), func(s *spec.Service) { s.Ready = tc.ready }))
			require.ErrorContains(t, env.Up(t.Context()), tc.want)
			require.NoError(t, env.Down(t.Context()))
		})
	}
}

func TestLineWatch(t *testing.T) {
	for name, tc := range map[string]struct {
		writes []string
		seen   bool
	}{
		"in one":           {[]string{"a\nready at last\n"}, true},
		"in pieces":        {[]string{"a\nrea", "dy at", " last"}, true},
		"without an end":   {[]string{"ready at last"}, true},
		"not at a start":   {[]string{"already at last\n"}, false},
		"over two lines":   {[]string{"ready at\n last\n"}, false},
		"after a long one": {[]string{strings.Repeat("x", 3*longestLine), "\nready at last\n"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			seen := make(chan struct{})
			w, err := newLineWatch(&out, "^ready at last", seen)
			require.NoError(t, err)
			for _, text := range tc.writes {
				n, err := w.Write([]byte(text))
				require.NoError(t, err)
				require.Equal(t, len(text), n)
			}
			assert.Equal(t, strings.Join(tc.writes, ""), out.String(), "all is passed on")
			select {
			case <-seen:
				assert.True(t, tc.seen)
			default:
				assert.False(t, tc.seen)
			}
		})
	}
}

func TestWorkingFolderAndStopSignal(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "site"), 0o755))
	cfg := with(testConfig(dir, longLease), func(s *spec.Service) {
		s.Dir, s.StopSignal, s.Stop = "site", "QUIT", spec.Duration(10*time.Second)
		s.Command = []string{os.Args[0], "quits", "${self.http}"}
	})
	env := up(t, cfg)
	assert.Equal(t, filepath.Join(dir, "site"), get(t, env.Services()[0].URL+"/cwd"))
	require.NoError(t, env.Down(t.Context()))
	assert.Contains(t, drain(env), "back stopped: exit code 7", "it ends so on SIGQUIT alone")
}

// A process that ends by itself comes back; one that a fault has killed waits
// for the fault to be undone.
func TestRestartPolicy(t *testing.T) {
	cfg := with(testConfig(t.TempDir(), longLease), func(s *spec.Service) { s.Restart = "on-failure" })
	env := up(t, cfg)
	target, err := env.Target("back")
	require.NoError(t, err)
	back := target.(faults.Process)
	first, err := back.Identity(t.Context())
	require.NoError(t, err)
	fails, err := os.FindProcess(first.PID)
	require.NoError(t, err)
	require.NoError(t, fails.Kill(), "somebody else kills it")
	second := first
	require.Eventually(t, func() bool {
		second, err = back.Identity(t.Context())
		return err == nil && second != first && answers(env.Services()[0].URL+"/ready")
	}, 20*time.Second, 10*time.Millisecond)

	require.NoError(t, back.Signal(t.Context(), second, "KILL"))
	require.Eventually(t, func() bool {
		state, err := back.State(t.Context(), second)
		return err == nil && state == stateDead
	}, 10*time.Second, 10*time.Millisecond)
	require.Never(t, func() bool { _, err := back.Identity(t.Context()); return err == nil }, 600*time.Millisecond, 20*time.Millisecond)
	require.NoError(t, back.Start(t.Context()))
}

func answers(url string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return newReadiness().lookHTTP(ctx, url) == nil
}

// A dependency that somebody else runs is reached through a proxy and outlives
// the environment.
func TestExternalServicesAreLeftAlone(t *testing.T) {
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("outside " + r.URL.Path))
	}))
	defer outside.Close()
	cfg := testConfig(t.TempDir(), longLease)
	cfg.Defects = nil
	cfg.System.Spec.Services["back"] = spec.Service{At: map[string]string{"http": outside.Listener.Addr().String()}, Ports: []string{"http"}, Port: "http"}
	env := up(t, cfg)
	assert.Equal(t, outside.URL, env.Services()[0].URL)
	assert.Equal(t, "outside /env/SELF", get(t, env.ClientEnv()["FRONT_URL"]+"/via/BACK_URL"))
	_, err := env.Target("back")
	require.ErrorContains(t, err, "no such service or edge", "it is not ours to signal")
	edge, err := env.Target("front -> back")
	require.NoError(t, err)
	require.NoError(t, edge.(faults.Link).PutStage(t.Context(), "down", faults.Stage{Mode: faults.LinkRefuse}))
	assert.NotContains(t, get(t, env.ClientEnv()["FRONT_URL"]+"/via/BACK_URL"), "outside")
	require.NoError(t, env.Down(t.Context()))
	assert.Equal(t, "outside /", get(t, outside.URL+"/"))
}

// roleQuits ends with exit code 7 on SIGQUIT and tells its working folder.
func roleQuits(args []string) error {
	http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/cwd", func(w http.ResponseWriter, _ *http.Request) {
		dir, _ := os.Getwd()
		_, _ = w.Write([]byte(dir))
	})
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(l, nil) }()
	quit := make(chan os.Signal, 1)
	signal.Ignore(syscall.SIGTERM)
	signal.Notify(quit, syscall.SIGQUIT)
	<-quit
	os.Exit(7)
	return nil
}

// roleKnows ends well if its argument is an address with a port.
func roleKnows(args []string) error {
	_, port, err := net.SplitHostPort(args[0])
	if err == nil {
		_, err = strconv.Atoi(port)
	}
	return err
}
