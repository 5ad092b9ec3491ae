package faults

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A table that goes takes no other with it, however many come at that moment.
func TestTablesComeWhileOthersGo(t *testing.T) {
	needsPackets(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 40 {
				p, err := CountRefused(netip.MustParseAddrPort("127.0.0.1:9"))
				if !assert.NoError(t, err) {
					return
				}
				_, err = p.Count()
				assert.NoError(t, err)
				assert.NoError(t, p.Close())
			}
		})
	}
	all.Wait()
}
