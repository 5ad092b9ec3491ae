// Package docker is the little that Squall needs of Docker: containers that are
// looked at, signalled and limited, and the image of its own proxy.
package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/ory/dockertest/v3/docker"

	"squall/faults"
)

// client is made once: it reads DOCKER_HOST and its certificates.
var client = sync.OnceValues(docker.NewClientFromEnv)

// Status is what a container does.
type Status struct {
	ID       string
	State    string // running, stopped (paused) or dead, as faults.Process tells them
	PID      int
	Start    uint64 // nanoseconds; tells one start from the next
	Health   string // healthy, unhealthy, starting; empty without a health check
	ExitCode int
	Networks map[string]string // address by network
}

// Address is host:port of a port of the container, on the first of its networks.
func (s Status) Address(port string) string {
	var names []string
	for name, ip := range s.Networks {
		if ip != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return ""
	}
	return net.JoinHostPort(s.Networks[names[0]], port)
}

// Inspect looks at a container; the error wraps faults.ErrGone where there is none.
func Inspect(ctx context.Context, name string) (Status, error) {
	c, err := client()
	if err != nil {
		return Status{}, err
	}
	found, err := c.InspectContainerWithContext(name, ctx)
	if none := new(docker.NoSuchContainer); errors.As(err, &none) {
		return Status{}, fmt.Errorf("container %s: %w", name, faults.ErrGone)
	}
	if err != nil {
		return Status{}, fmt.Errorf("container %s: %w", name, err)
	}
	s := Status{ID: found.ID, State: "dead", Health: found.State.Health.Status, ExitCode: found.State.ExitCode, Networks: map[string]string{}}
	if found.State.Running {
		s.PID, s.Start, s.State = found.State.Pid, uint64(found.State.StartedAt.UnixNano()), "running"
	}
	if found.State.Paused {
		s.State = "stopped"
	}
	if found.NetworkSettings != nil {
		for name, n := range found.NetworkSettings.Networks {
			s.Networks[name] = n.IPAddress
		}
	}
	return s, nil
}

// Signal sends KILL or TERM; STOP pauses a container with all its processes,
// and CONT lets it go on.
func Signal(ctx context.Context, name, sig string) error {
	c, err := client()
	if err != nil {
		return err
	}
	switch sig {
	case "KILL", "TERM", "INT", "QUIT", "HUP":
		number := map[string]docker.Signal{"KILL": docker.SIGKILL, "TERM": docker.SIGTERM, "INT": docker.SIGINT, "QUIT": docker.SIGQUIT, "HUP": docker.SIGHUP}[sig]
		err = c.KillContainer(docker.KillContainerOptions{ID: name, Signal: number, Context: ctx})
	case "STOP":
		err = c.PauseContainer(name)
	case "CONT":
		err = c.UnpauseContainer(name)
	default:
		return fmt.Errorf("container %s: unknown signal %q", name, sig)
	}
	if none, ended := new(docker.NoSuchContainer), new(docker.ContainerNotRunning); errors.As(err, &none) || errors.As(err, &ended) {
		return faults.ErrNotRunning
	}
	return err
}

// Start starts a container that has ended.
func Start(ctx context.Context, name string) error {
	c, err := client()
	if err != nil {
		return err
	}
	err = c.StartContainerWithContext(name, nil, ctx)
	if running := new(docker.ContainerAlreadyRunning); errors.As(err, &running) {
		return nil
	}
	return err
}

// Run runs a Docker command line, or that of a compose tool, and returns what
// it prints. An error has the end of what it complained about.
func Run(ctx context.Context, dir string, env []string, command ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, env
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		said := strings.TrimSpace(failed.String())
		if len(said) > 800 {
			said = "..." + said[len(said)-800:]
		}
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, said)
	}
	return out, nil
}

// Limits of a container that faults change.
type Limits struct {
	NanoCpus   int64
	Memory     int64 // bytes; 0: none
	MemorySwap int64 // memory and swap together; -1: no limit
}

// LimitsOf reads the limits of a container.
func LimitsOf(ctx context.Context, name string) (l Limits, err error) {
	out, err := Run(ctx, "", nil, "docker", "inspect", "--type", "container", "--format", "{{json .HostConfig}}", name)
	if err == nil {
		err = json.Unmarshal(out, &l)
	}
	return l, err
}

// Usage is what a container has used and met.
type Usage struct {
	CPU       uint64 // nanoseconds used
	Periods   uint64 // in which it was throttled
	Throttled uint64 // nanoseconds it stood still
	Memory    uint64 // bytes
	Failed    uint64 // how often the memory limit was met, where the kernel counts that
}

// UsageOf measures a running container.
func UsageOf(ctx context.Context, name string) (Usage, error) {
	c, err := client()
	if err != nil {
		return Usage{}, err
	}
	stats := make(chan *docker.Stats, 1)
	if err := c.Stats(docker.StatsOptions{ID: name, Stats: stats, Context: ctx}); err != nil {
		return Usage{}, fmt.Errorf("measure container %s: %w", name, err)
	}
	s := <-stats
	if s == nil {
		return Usage{}, fmt.Errorf("measure container %s: %w", name, faults.ErrNotRunning)
	}
	throttling := s.CPUStats.ThrottlingData
	return Usage{
		CPU: s.CPUStats.CPUUsage.TotalUsage, Periods: throttling.ThrottledPeriods, Throttled: throttling.ThrottledTime,
		Memory: s.MemoryStats.Usage, Failed: s.MemoryStats.Failcnt,
	}, nil
}

// Gateway is the address of this machine that containers of every network reach:
// that of Docker's own bridge.
func Gateway(ctx context.Context) (string, error) {
	out, err := Run(ctx, "", nil, "docker", "network", "inspect", "bridge", "--format", `{{index .Options "com.docker.network.bridge.name"}}`)
	var bridge *net.Interface
	if err == nil {
		bridge, err = net.InterfaceByName(strings.TrimSpace(string(out)))
	}
	var addresses []net.Addr
	if err == nil {
		addresses, err = bridge.Addrs()
	}
	for _, a := range addresses {
		if prefix, bad := netip.ParsePrefix(a.String()); bad == nil && prefix.Addr().Is4() {
			return prefix.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("no address of this machine that containers reach: %w", cmp.Or(err, errors.New("the bridge of Docker has none")))
}

// Update changes limits of a container.
func Update(ctx context.Context, name string, flags ...string) error {
	_, err := Run(ctx, "", nil, append(append([]string{"docker", "update"}, flags...), name)...)
	return err
}

// Machine is what the machine of the containers has. Docker cannot take a limit
// away from a container that runs: as much as the machine has limits nothing.
type Machine struct {
	CPUs   int64 `json:"NCPU"`
	Memory int64 `json:"MemTotal"` // bytes
}

// MachineOf asks Docker.
func MachineOf(ctx context.Context) (m Machine, err error) {
	out, err := Run(ctx, "", nil, "docker", "info", "--format", "{{json .}}")
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	return m, err
}
