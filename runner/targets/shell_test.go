package targets

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a shell reads of it are the same words, and plain words stay plain.
func TestShell(t *testing.T) {
	for text, words := range map[string][]string{
		"kubectl scale statefulset/orders --replicas=1": {"kubectl", "scale", "statefulset/orders", "--replicas=1"},
		`sh -c 'echo "it'\''s $HOME" > x'`:              {"sh", "-c", `echo "it's $HOME" > x`},
		"a '' 'b c' '*'":                                {"a", "", "b c", "*"},
	} {
		assert.Equal(t, text, Shell(words...))
		out, err := exec.Command("sh", "-c", `printf '%s|' `+text).Output()
		require.NoError(t, err)
		want := ""
		for _, w := range words {
			want += w + "|"
		}
		assert.Equal(t, want, string(out))
	}
}
