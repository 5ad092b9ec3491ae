package app

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStateDir(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		uid  int
		want string
	}{
		"told":      {map[string]string{"SQUALL_STATE": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, 0, "/s"},
		"XDG":       {map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"}, 0, "/x/squall"},
		"root":      {map[string]string{"HOME": "/root"}, 0, "/var/lib/squall"},
		"a person":  {map[string]string{"HOME": "/h"}, 7, "/h/.local/state/squall"},
		"no person": {nil, 7, "/tmp/squall-7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", "/tmp")
			assert.Equal(t, tt.want, stateDir(func(k string) string { return tt.env[k] }, tt.uid))
		})
	}
}
