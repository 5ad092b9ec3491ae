package defect

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	s, err := Parse(" D07, D12x")
	assert.Nil(t, s)
	assert.EqualError(t, err, `defects: unknown "D12x", known are D02, D06, D07, D10, D13, D18, D19, D28`)
	s, err = Parse("D07, D19,")
	require.NoError(t, err)
	assert.Equal(t, Of("D07", "D19"), s)
	assert.True(t, s.Has(NoClientTimeout))
	s, err = Parse("")
	require.NoError(t, err)
	assert.Empty(t, s)
}
