package app

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEndToEndTestsAreNamedSo: make test-e2e runs what is called TestE2E, and
// nothing that has run without the tag; another name would run nowhere.
func TestEndToEndTestsAreNamedSo(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	more, err := filepath.Glob("../squalltest/*_test.go")
	require.NoError(t, err)
	tests := regexp.MustCompile(`(?m)^func (Test\w+)\(t `)
	tagged := 0
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		e2e := strings.HasPrefix(string(text), "//go:build e2e\n")
		for _, m := range tests.FindAllStringSubmatch(string(text), -1) {
			assert.Equal(t, e2e, strings.HasPrefix(m[1], "TestE2E"), "%s: %s", file, m[1])
			if e2e {
				tagged++
			}
		}
	}
	assert.NotZero(t, tagged)
}
