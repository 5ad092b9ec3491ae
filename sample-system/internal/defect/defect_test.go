package defect

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	s, err := Parse(" D07, D41")
	assert.Nil(t, s)
	assert.EqualError(t, err, `defects: unknown "D41", known are D01, D02, D03, D04, D05, D06, D07, D08, D09, D10, D11, D12, D13, D14, D15, D16, D17, D18, D19, D20, D21, D22, D23, D24, D25, D26, D27, D28, D29, D30, D31, D32, D33, D34, D35, D36, D37, D38, D39, D40`)
	s, err = Parse("D07, D19,")
	require.NoError(t, err)
	assert.Equal(t, Of("D07", "D19"), s)
	assert.True(t, s.Has(NoClientTimeout))
	s, err = Parse("")
	require.NoError(t, err)
	assert.Empty(t, s)
}
