package process

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/scenarios/spec"
)

// What costs something is there only for services that a fault needs it of.
func TestDrawNeeds(t *testing.T) {
	service := spec.Service{Command: []string{"/bin/x"}, Replicas: 2, Clock: &spec.Clock{Env: "CLOCK"}}
	sys := &spec.System{File: "/sys/system.yaml", Spec: spec.SystemSpec{Services: map[string]spec.Service{"a": service, "b": service}}}
	sys, problems := sys.With()
	require.Empty(t, problems)
	at := site{
		id: "e1", folder: "/env", self: []string{"squall"}, api: "127.0.0.1:1", disk: "127.0.0.1:2",
		cgroup: faults.MemoryCgroup{Dir: "/cg/squall-e1", Unified: true},
		needs:  map[string][]faults.Capability{"a-1": {faults.NeedsData, faults.NeedsMemory}, "b-1": {faults.NeedsClock}},
	}
	bp, err := draw(sys, nil, at)
	require.NoError(t, err)
	assert.Equal(t, []string{"squall", "disk", "--listen", "127.0.0.1:2", "a", "/env/disks/a", "/env/data/a"}, bp.Disk.Command)
	assert.Equal(t, "http://127.0.0.1:2/version", bp.Disk.Ready.HTTP)
	for i, want := range []struct {
		disk          bool
		cgroup, clock string
	}{
		{true, "/cg/squall-e1/a-1", "/env/clock/a-1/offset"}, {true, "", "/env/clock/a-2/offset"},
		{false, "", "/env/clock/b-1/offset"}, {false, "", "/env/clock/b-2/offset"},
	} {
		l := bp.Services[i]
		assert.Equal(t, want.disk, l.Disk, l.Name)
		assert.Equal(t, want.cgroup, l.Cgroup, l.Name)
		assert.Equal(t, want.clock, l.Clock, l.Name)
		assert.Contains(t, l.Env, "CLOCK="+want.clock)
		assert.Equal(t, want.disk, slices.Contains(l.Env, "SQUALL_INSTANCE="+l.Name), l.Name)
	}

	at.disk, at.cgroup, at.needs = "", faults.MemoryCgroup{}, nil
	bp, err = draw(sys, nil, at)
	require.NoError(t, err)
	assert.Nil(t, bp.Disk)
	assert.Empty(t, bp.Volumes)
	assert.Len(t, bp.own(), 1)
}
