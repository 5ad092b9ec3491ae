package ports

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPortRange(t *testing.T) {
	for name, tc := range map[string]struct{ from, to, low, high int }{
		"linux":      {32768, 60999, 10000, 32768},
		"iana":       {49152, 65535, 10000, 49152},
		"low range":  {1024, 40000, 40001, 65536},
		"everything": {1024, 65535, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			low, high := portRange(tc.from, tc.to)
			assert.Equal(t, [2]int{tc.low, tc.high}, [2]int{low, high})
		})
	}
}

func TestPortsAreHeldUntilReleased(t *testing.T) {
	p := New()
	defer p.ReleaseAll()
	seen := map[string]bool{}
	for range 20 {
		addr, err := p.Take()
		require.NoError(t, err)
		require.False(t, seen[addr])
		seen[addr] = true
		at := netip.MustParseAddrPort(addr)
		assert.True(t, at.Addr().IsLoopback())
		if p.high > 0 {
			assert.True(t, int(at.Port()) >= p.low && int(at.Port()) < p.high, addr)
		}
		_, err = net.Listen("tcp", addr)
		require.Error(t, err, "held")
		p.Release(addr)
		l, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}
