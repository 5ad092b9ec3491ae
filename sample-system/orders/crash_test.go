package orders

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// childEnv makes the test binary an instance of orders.
const childEnv = "ORDERS_TEST_INSTANCE"

// child is an instance in a process of its own; its first line of output is
// its address.
func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := service.FromEnv("orders", os.Getenv, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	h, err := service.New(ctx, cfg, Setup)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(h.Addr())
	if err := h.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process starts an instance and returns its URL, and what signals it.
func process(t *testing.T, n int, env map[string]string) (url string, signal func(syscall.Signal)) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1", "SHOP_LISTEN=127.0.0.1:0", fmt.Sprintf("SHOP_NAME=orders-%d", n))
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	signal = func(s syscall.Signal) {
		_ = cmd.Process.Signal(s) // it may have ended
		if s == syscall.SIGKILL {
			_ = cmd.Wait()
		}
	}
	t.Cleanup(func() { signal(syscall.SIGKILL) })
	return "http://" + strings.TrimSpace(line), signal
}

// TestKilled: two instances under load, of which one is killed (-9) again and
// again at random moments. Every order that was acknowledged stays so; every
// order ends; partners and stream agree with it.
func TestKilled(t *testing.T) {
	t.Parallel()
	p, bus := newPartners(t), servicetest.Bus(t)
	env := p.env(bus, map[string]string{"SHOP_DATA": t.TempDir()})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	urls, answers := make([]string, 2), map[string]string{}
	signals := make([]func(syscall.Signal), 2)
	for i := range urls {
		urls[i], signals[i] = process(t, i+1, env)
	}

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for worker := range 4 {
		load.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("o-%d-%d", worker, n)
				mu.Lock()
				url := urls[n%2]
				answers[id] = ""
				mu.Unlock()
				answer := placeOnce(url, id)
				mu.Lock()
				answers[id] = answer
				mu.Unlock()
			}
		})
	}
	for range 5 {
		victim := random.IntN(2)
		require.Eventually(t, func() bool { return p.called(routeCharge) > 20 }, waitLong, time.Duration(1+random.IntN(100))*time.Millisecond)
		signals[victim](syscall.SIGKILL)
		p.setFault(func(string, int) string { return "" }) // counts anew
		url, signal := process(t, victim+1, env)
		mu.Lock()
		urls[victim], signals[victim] = url, signal
		mu.Unlock()
	}
	stop()
	load.Wait()
	settle(t, p, urls[0], bus, answers)
}

// TestPausedProcess: an instance is stopped (SIGSTOP) between charging and
// writing that down. The other takes the order over; the one that comes back
// writes nothing, and tells its client what the other has decided.
func TestPausedProcess(t *testing.T) {
	t.Parallel()
	p := newPartners(t)
	env := p.env(servicetest.Bus(t), map[string]string{"SHOP_DATA": t.TempDir()})
	paused, signal := process(t, 1, env)
	other, _ := process(t, 2, env)
	p.delay(routeCharge, attemptTime-100*time.Millisecond)
	answer := make(chan string, 1)
	go func() { answer <- placeOnce(paused, "a") }()
	require.Eventually(t, func() bool {
		_, charge := p.effects("a")
		_, metrics := servicetest.Get(t, other+"/metrics")
		return charge == "done" && strings.Contains(metrics, "\noutbox_pending 0\n") // else it may stop amid a transaction of its relay, and hold SQLite's lock
	}, waitLong, tick)
	signal(syscall.SIGSTOP)
	becomes(t, other, "a", "cancelled")
	signal(syscall.SIGCONT)
	assert.Equal(t, "cancelled", <-answer)
	reservation, charge := p.effects("a")
	assert.Equal(t, "undone undone", reservation+" "+charge)
	assert.Equal(t, 2, p.undone["a"])
	kinds := []string{}
	for _, e := range book(t, other+"/audit/events") {
		kinds = append(kinds, e.Attrs["type"])
	}
	assert.Equal(t, []string{"placed", "reserved", "failed", "refunded", "released"}, kinds)
}

// placeOnce places an order; the answer is its status, or empty when there was none.
func placeOnce(url, id string) string {
	req, err := http.NewRequest(http.MethodPost, url+"/orders", strings.NewReader(body(id, "ada", "tea")))
	if err != nil {
		return ""
	}
	req.Header.Set(service.IdempotencyHeader, id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var s Status
	if json.NewDecoder(resp.Body).Decode(&s) != nil {
		return ""
	}
	return s.Status
}

// settle waits until all orders have ended and compares all books.
func settle(t *testing.T, p *partners, url, bus string, answers map[string]string) {
	var states map[string]string
	require.Eventually(t, func() bool {
		states = map[string]string{}
		pending := 0
		for _, row := range book(t, url+"/audit/orders") {
			states[row.Key] = row.State
			if row.State == "pending" {
				pending++
			}
		}
		return pending == 0
	}, waitLong, 50*time.Millisecond)
	events := 0
	for id, answer := range answers {
		state := states[id]
		if answer != "" {
			assert.Equal(t, answer, state, "%s was acknowledged", id)
		}
		reservation, charge := p.effects(id)
		switch state {
		case "confirmed":
			assert.Equal(t, "committed done", reservation+" "+charge, id)
		default: // cancelled, or it never arrived
			assert.NotContains(t, []string{"done", "committed"}, reservation, id)
			assert.NotEqual(t, "done", charge, id)
		}
		if state != "" {
			events += 2
		}
	}
	sent, _ := stream(t, bus, events)
	assert.Len(t, sent, events)
	assert.Zero(t, overtaken(sent))
	t.Logf("%d orders, %d events", len(states), len(sent))
}
