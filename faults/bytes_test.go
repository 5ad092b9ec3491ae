package faults

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestByteRate(t *testing.T) {
	for text, want := range map[string]struct {
		rate int64
		says string
	}{
		"100KB/s":  {100_000, "100KB/s"},
		"128KB/s":  {128_000, "128KB/s"},
		"0.5MB/s":  {500_000, "500KB/s"},
		"1MiB/s":   {1 << 20, "1MiB/s"},
		"512B/s":   {512, "512B/s"},
		"125GiB/s": {125 << 30, "125GiB/s"},
		"0B/s":     {0, "0B/s"},
	} {
		var r ByteRate
		require.NoError(t, r.FromScalar(text))
		assert.EqualValues(t, want.rate, r, text)
		assert.Equal(t, want.says, r.String(), text)
	}
	for _, text := range []string{"", "100", "100KB", "100 KB/s", "100kb/s", "8Mbit/s", "-1KB/s", "0.3B/s", "1TB/s", "99999999GB/s"} {
		var r ByteRate
		assert.EqualError(t, r.FromScalar(text), `"`+text+`" is not a data rate: write 100KB/s or 1MiB/s (bytes, not bits)`)
	}
}

// What is read prints as something that reads back the same.
func FuzzBytes(f *testing.F) {
	for _, s := range []string{"64KB", "1MiB", "0B", "1.5KB", "1.5B", "KB", "9e3B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b, again Bytes
		if b.FromScalar(text) != nil {
			return
		}
		require.GreaterOrEqual(t, b, Bytes(0))
		require.NoError(t, again.FromScalar(b.String()))
		require.Equal(t, b, again)
	})
}
