//go:build soak

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// soakRate is far below what the shop bears: this is about what is lost, not
// about how much it can take.
const soakRate = 20 // checkouts per second

// TestSoak kills, pauses and restarts random processes under load for SOAK_FOR
// (5m), by SOAK_SEED, and then wants the books closed: whatever was acknowledged
// happened once everywhere, and everything else happened wholly or not at all.
func TestSoak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SOAK_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	length := 5 * time.Minute
	if text := os.Getenv("SOAK_FOR"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	fmt.Printf("soak: %s with SOAK_SEED=%d\n", length, seed)
	t.Setenv("SHOP_MAIL_TTL", "1h") // no mail may be dropped by right
	s := startShop(t, variant{})
	load := s.load(length)
	s.torment(rand.New(rand.NewPCG(seed, 0)), length)
	outcomes := load()
	s.close(t, outcomes, time.Minute)
}

// load begins to check out at soakRate and returns what waits for the end.
func (s *shop) load(length time.Duration) func() []outcome {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []outcome
	wg.Go(func() {
		tick := time.NewTicker(time.Second / soakRate)
		defer tick.Stop()
		for i := range int(length.Seconds() * soakRate) {
			<-tick.C
			wg.Go(func() {
				id := fmt.Sprintf("soak-%d", i)
				r, err := s.tryCheckout(id, tea)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, outcome{id, err == nil && r.code == 201})
			})
		}
	})
	return func() []outcome { wg.Wait(); return all }
}

// torment breaks one process after the other until the time is over.
func (s *shop) torment(chance *rand.Rand, length time.Duration) {
	for end := time.Now().Add(length); time.Now().Before(end); {
		name := s.instances[chance.IntN(len(s.instances))]
		pause := time.Duration(chance.IntN(2000)) * time.Millisecond
		how := [...]string{"kill", "kill", "kill", "term", "pause"}[chance.IntN(5)]
		fmt.Printf("soak: %s %s for %s\n", how, name, pause)
		switch how {
		case "kill", "term":
			sig := syscall.SIGKILL
			if how == "term" {
				sig = syscall.SIGTERM
			}
			s.end(name, sig)
			<-time.After(pause)
			s.start(name, "")
		case "pause":
			p := s.procs[name].cmd.Process
			require.NoError(s.t, p.Signal(syscall.SIGSTOP))
			<-time.After(pause + 4*time.Second) // longer than any lease
			require.NoError(s.t, p.Signal(syscall.SIGCONT))
		}
		s.waitReady(name)
		<-time.After(time.Duration(chance.IntN(2000)) * time.Millisecond)
	}
}
