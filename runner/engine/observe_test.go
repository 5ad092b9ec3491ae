package engine

import (
	"bufio"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
)

func TestWholeLines(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"nothing":   {"", nil},
		"ended":     {"{}\n\n{}\n", []string{"{}", "", "{}"}},
		"half line": {"{\"a\":1}\n{\"a", []string{"{\"a\":1}"}},
		"only half": {"{\"a", nil},
	} {
		t.Run(name, func(t *testing.T) {
			lines := bufio.NewScanner(iotest.OneByteReader(strings.NewReader(tt.in)))
			lines.Split(wholeLines)
			var got []string
			for lines.Scan() {
				got = append(got, lines.Text())
			}
			assert.NoError(t, lines.Err())
			assert.Equal(t, tt.want, got)
		})
	}
}
