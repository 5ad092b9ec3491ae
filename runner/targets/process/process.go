// Package process runs a system as local processes (target: process).
//
// Three kinds of processes take part. The runner holds an Environment. It
// starts a supervisor (squall supervise), which is the parent of the link proxy
// and of every service, and obeys a small HTTP API on loopback. So the system
// has an owner that outlives any death of the runner: the supervisor ends all
// of it when told so, when the runner's end of a pipe closes, or when the
// runner's heartbeat stops for the lease. Dies the supervisor itself, the
// kernel kills its children, and Sweep removes what is left.
//
// An environment has a folder, StateDir/environments/ID, that holds env.json
// (how to find and prove the supervisor and its processes) and the data folders
// of the services. It goes with the environment; logs stay in the run directory.
package process

import (
	"time"

	"squall/faults"
	"squall/runner/targets"
	"squall/scenarios/spec"
)

// Config says what to run and for whom.
type Config struct {
	System   *spec.System // as it is run: see spec.System.With
	Defects  []string     // switched on in the services that know them
	RunDir   string       // logs go to RunDir/logs/INSTANCE.log
	StateDir string       // environment folders go below it
	Self     []string     // argv prefix that runs squall, such as ["/path/squall"]
	Owner    string       // the run; stages with this owner are renewed
	// Lease is how long the environment and its faults outlive a runner that
	// went silent.
	Lease time.Duration
	// Detached environments outlive the runner until someone calls Down.
	Detached bool
	// Needs says, by instance, what planned faults need besides its process. What
	// costs something is there only for those: a data folder on a disk of ours, a cgroup.
	Needs map[string][]faults.Capability
	// Traces is the URL that services are to send their traces to; empty: nowhere.
	Traces string
	// Environ is the runner's environment as KEY=value; services inherit PATH,
	// HOME and TMPDIR of it and nothing else. Nil: that of this process.
	Environ []string
}

// States of a process, as faults.Process tells them.
const (
	stateRunning = "running"
	stateStopped = "stopped"
	stateDead    = "dead"
)

// Events of a process; the first eight are those of targets.Event.
const (
	eventStarted   = "started"
	eventReady     = "ready"
	eventExited    = "exited"
	eventKilled    = "killed"
	eventPaused    = "paused"
	eventResumed   = "resumed"
	eventRestarted = "restarted"
	eventStopped   = "stopped"
	eventDropped   = "dropped" // the reader was too slow; Detail says how many
)

const (
	// proxyName and supervisorName stand for our own processes in events and logs.
	proxyName      = targets.ProxyProcess
	supervisorName = targets.SupervisorProcess
	diskName       = targets.DiskProcess

	// markVariable is in the environment of every process we start, so that
	// those which left their parent and their process group are found again.
	markVariable = "SQUALL_ENVIRONMENT"

	defaultWithin = 20 * time.Second
	defaultStop   = 3 * time.Second
)
