package docker

import (
	"net"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// What containers are told to reach this machine by is an address of it, and not
// one that only the machine itself reaches.
func TestGateway(t *testing.T) {
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("docker is not installed")
	}
	host, err := Gateway(t.Context())
	require.NoError(t, err)
	require.False(t, net.ParseIP(host).IsLoopback())
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
