package spec

// System says what Squall may touch, and how to start and reach it. What is read
// of a file is the system as declared; With makes of it the system that is run,
// and everything but this package sees only that.
type System struct {
	APIVersion string     `yaml:"apiVersion" spec:"required,const=squall/v1" doc:"Format of this file."`
	Kind       string     `yaml:"kind" spec:"required,const=System" doc:"What this file holds."`
	Metadata   Metadata   `yaml:"metadata" spec:"required" doc:"Name and labels."`
	Spec       SystemSpec `yaml:"spec" spec:"required" doc:"The system."`

	File     string         `yaml:"-"`
	SLOs     map[string]SLO `yaml:"-"` // from the files of spec.slos, by name
	SLOFiles []string       `yaml:"-"` // where they were read from

	Alerts     map[string]AlertRule `yaml:"-"` // from the files of spec.alerts, by name
	AlertFiles []string             `yaml:"-"`

	Switches []string `yaml:"-"` // that are on, sorted

	src         Node
	absent      map[string]string // services and edges that With left out, and why
	absentBooks map[string]string // ledger sources likewise
}

// SystemSpec describes services, edges and books.
type SystemSpec struct {
	Target   string              `yaml:"target" spec:"required,enum=process|compose|containers|remote" doc:"How the services run: started by squall as local processes, from a compose project, as containers that are there already, or somewhere else."`
	Compose  *Compose            `yaml:"compose" doc:"The compose project, for target compose."`
	Watchdog *Watchdog           `yaml:"watchdog" doc:"Who reverts faults when the runner falls silent, for targets that squall does not start; absent: a process beside the runner."`
	Defaults ServiceDefaults     `yaml:"defaults" doc:"What every service has unless it says otherwise; env is taken variable by variable."`
	Services map[string]Service  `yaml:"services" spec:"required,pattern=name,min=1" doc:"Every service Squall may touch."`
	Edges    Edges               `yaml:"edges" spec:"required" doc:"Who calls whom: 'orders -> payments'. The caller 'client' is the load generator. With replicas, every instance calls every instance."`
	Zones    map[string][]string `yaml:"zones" spec:"pattern=name" doc:"Places that can be lost as a whole, and the services or instances in each."`
	Switches map[string]Switch   `yaml:"switches" spec:"pattern=name" doc:"Variants of the system that a scenario chooses by spec.switches, and a command by --switch."`
	SLOs     []string            `yaml:"slos" spec:"pattern=text" doc:"OpenSLO v1 files or folders, relative to this file."`
	Alerts   []string            `yaml:"alerts" spec:"pattern=text" doc:"Prometheus rule files or folders, relative to this file: what alerts the system has."`
	Ledger   map[string]Books    `yaml:"ledger" spec:"pattern=name" doc:"Where the system keeps its books, by source name."`
	Traces   *Traces             `yaml:"traces" doc:"How the services are told where to send their traces; they are collected for scenarios that ask for them."`
	Defects  *Defects            `yaml:"defects" doc:"Off switches of resilience mechanisms, for squall run --defect and prove."`

	Prometheus *Prometheus `yaml:"prometheus" doc:"A Prometheus server that scrapes the system already: its series are read by federation, for checks in PromQL and SLOs, and no service has metrics of its own here."`

	Limits    *Limits    `yaml:"limits" doc:"What a game day may do to this system at most."`
	Approvers []Approver `yaml:"approvers" doc:"Who may approve the plan of a game day."`
}

// Limits bound the blast radius of game days. What is absent is not limited.
type Limits struct {
	Share     Ratio     `yaml:"share" spec:"default=100%" doc:"Largest share of a service's instances, or of the links to it, that one step may hit."`
	Services  int       `yaml:"services" spec:"min=1" doc:"Most services that one step may hit."`
	Stand     Duration  `yaml:"stand" doc:"Longest that a fault may stand."`
	Arrival   *Rate     `yaml:"arrival" doc:"Most load that may be put on it."`
	Kinds     []string  `yaml:"kinds" doc:"The only kinds of faults that are allowed."`
	Never     []string  `yaml:"never" doc:"Kinds of faults that are not."`
	Protected []string  `yaml:"protected" doc:"Services that no fault may hit, nor the links to them."`
	Approvals Approvals `yaml:"approvals" doc:"How many approvers a plan needs, by its risk."`
}

// Approvals are how many people must approve a plan of each risk.
type Approvals struct {
	Low    int `yaml:"low" spec:"min=0,default=1" doc:"Faults on part of the links to a service, which end with their lease."`
	Medium int `yaml:"medium" spec:"min=0,default=1" doc:"Faults on all links to a service, or on part of its instances."`
	High   int `yaml:"high" spec:"min=0,default=2" doc:"Faults on all instances of a service, on data or on clocks."`
}

// Approver is somebody whose signature counts.
type Approver struct {
	Name string `yaml:"name" spec:"required,pattern=name" doc:"Name in plans and reports."`
	Key  string `yaml:"key" spec:"required,pattern=text" doc:"Public SSH key, as in an authorized_keys file."`
}

// Prometheus is a server of somebody else's, which is only read.
type Prometheus struct {
	URL      string   `yaml:"url" spec:"required,pattern=^https?://" doc:"Where it answers, such as http://prometheus:9090."`
	Match    []string `yaml:"match" spec:"required,min=1,pattern=text" doc:"Selectors of the series to read, such as '{job=~\"orders|payments\"}'; all that a check names must be among them. Values are as fresh as its scrapes, so phases must be several of its scrape intervals long."`
	TokenEnv string   `yaml:"tokenEnv" spec:"pattern=env" doc:"Variable of squall's own environment that has a bearer token for it; absent: it wants none."`
}

// Traces says how services export OpenTelemetry traces.
type Traces struct {
	Env string `yaml:"env" spec:"required,pattern=env" doc:"Variable with the base URL of an OTLP/HTTP receiver, such as OTEL_EXPORTER_OTLP_ENDPOINT."`
}

// Service is one service and how its processes are started. In command and env
// values, ${self.PORT} and ${SERVICE.PORT} become host:port, ${name} the name of
// the instance, ${data} this service's data folder, which its instances share,
// ${shared} one folder for all services, and ${dir} the folder of the system
// file. ${SERVICE.PORT} of a service with replicas becomes all of them, joined
// by commas; ${SERVICE-2.PORT} names one.
type Service struct {
	Command    []string          `yaml:"command" spec:"min=1" doc:"Program and arguments, for target process. A relative program is looked up beside the system file."`
	Env        map[string]string `yaml:"env" spec:"pattern=env" doc:"Environment of the process."`
	Secrets    []string          `yaml:"secrets" spec:"pattern=env" doc:"Variables of squall's own environment that hold secrets: the process sees them, and what it prints of them is left out of its log. A compose file has its own way to take them."`
	Dir        string            `yaml:"dir" spec:"pattern=text" doc:"Working folder, relative to the system file; absent: the service's data folder."`
	Ports      []string          `yaml:"ports" spec:"pattern=name" doc:"Named ports; Squall picks a free loopback port for each."`
	At         map[string]string `yaml:"at" spec:"pattern=name" doc:"Where its ports are, by name: host:port of a service that squall does not start, and does not touch unless hooks say how; the port inside the container for targets compose and containers."`
	Restart    string            `yaml:"restart" spec:"default=never,enum=never|on-failure|always" doc:"Whether a process that ended by itself is started again, as an init system would do. What a fault has ended stays down until the fault is undone."`
	Ready      Ready             `yaml:"ready" doc:"When it counts as ready."`
	Metrics    string            `yaml:"metrics" spec:"pattern=path" doc:"Path of its Prometheus metrics; absent: not scraped."`
	Port       string            `yaml:"port" spec:"default=http" doc:"The port that metrics, readiness and books are read from."`
	Defects    []string          `yaml:"defects" doc:"Defects this service knows."`
	Stop       Duration          `yaml:"stop" spec:"default=3s" doc:"Time between the stop signal and SIGKILL."`
	StopSignal string            `yaml:"stopSignal" spec:"default=TERM,enum=TERM|INT|QUIT|HUP" doc:"Signal that asks it to end: PostgreSQL ends fast on INT, nginx and Apache httpd in order on QUIT and WINCH or TERM."`
	Container  string            `yaml:"container" spec:"pattern=text" doc:"Its service in the compose file, or its container's name; absent: the name it has here."`
	Hooks      *Hooks            `yaml:"hooks" doc:"How to kill, pause or restart a service of target remote."`
	Clock      *Clock            `yaml:"clock" doc:"How squall may set its clock; absent: it may not."`
	Database   *Database         `yaml:"database" doc:"How squall may log in to it, if it is a PostgreSQL server; absent: it may not."`

	Replicas int         `yaml:"replicas" spec:"min=1,max=99" doc:"Runs it as instances NAME-1 to NAME-N; absent: once, under its own name."`
	When     SwitchNames `yaml:"when" doc:"It is there only with this switch, or with all of these."`
	Unless   SwitchNames `yaml:"unless" doc:"It is there only without this switch, or without any of these."`
	Requires []string    `yaml:"requires" spec:"pattern=program" doc:"Programs that must be on the machine; without one, scenarios on this system are skipped."`

	Of      string `yaml:"-"` // the service as declared; of an instance, not its own name
	Ordinal int    `yaml:"-"` // of an instance, from 1; 0 without replicas
}

// ServiceDefaults are fields of services. They are filled in before services are
// decoded, so that what is in Services is complete.
type ServiceDefaults struct {
	Service `yaml:",inline"`
}

// Clock lets squall set the clock of a service, instance by instance.
type Clock struct {
	Env string `yaml:"env" spec:"required,pattern=env" doc:"Variable that tells it the file with the offset of its clock in seconds (+120), such as FAKETIME_TIMESTAMP_FILE."`
}

// Database is a login to a PostgreSQL server, past its link proxies.
type Database struct {
	User        string `yaml:"user" spec:"required" doc:"Who logs in. Faults end sessions and lock tables of others, so its rights must suffice for that."`
	Name        string `yaml:"name" spec:"required" doc:"The database to log in to."`
	PasswordEnv string `yaml:"passwordEnv" spec:"pattern=env" doc:"Variable of squall's own environment that has the password; absent: there is none."`
	TLS         string `yaml:"tls" spec:"default=prefer,enum=disable|prefer|require|verify-full" doc:"As sslmode of PostgreSQL's own clients."`
}

// Switch is a variant of the system that can be on or off.
type Switch struct {
	Title    string            `yaml:"title" doc:"One line for people."`
	Env      map[string]string `yaml:"env" spec:"pattern=env" doc:"Added to the environment of every service while it is on; a service's own env wins."`
	Protocol string            `yaml:"protocol" spec:"enum=tcp" doc:"What http edges between services carry while it is on, such as TLS that proxies cannot look into. Addresses stay as they are written without it."`
}

// SwitchNames are one switch or a list of them.
type SwitchNames []string

// Ready is a readiness probe; of several, all must hold. Without any, the
// first port must take connections.
type Ready struct {
	HTTP    string   `yaml:"http" spec:"pattern=path" doc:"Path that answers 2xx once ready."`
	TCP     string   `yaml:"tcp" spec:"pattern=name" doc:"Port that takes connections once ready."`
	Log     string   `yaml:"log" spec:"pattern=text" doc:"Regular expression that a line of its output matches once ready."`
	Command []string `yaml:"command" spec:"min=1" doc:"Program that ends with exit code 0 once ready; it is run again and again until then. Arguments may have ${...} as the service's command has."`
	Within  Duration `yaml:"within" spec:"default=20s" doc:"Longest wait."`
}

// Edges in the order of the file.
type Edges []Edge

// Edge is one caller-callee pair. Its callee's address reaches the caller by
// an environment variable, so that Squall can put a proxy between. Several
// edges of one caller with the same variable are joined by commas.
type Edge struct {
	Caller string `yaml:"-"`
	Callee string `yaml:"-"`

	Protocol string      `yaml:"protocol" spec:"required,enum=http|grpc|tcp|nats|postgres" doc:"Decides which faults may apply."`
	Env      string      `yaml:"env" spec:"pattern=env" doc:"Variable that tells the caller where the callee is. Target compose: absent where the caller has a fixed host name for it; then that name leads to the proxy."`
	Host     string      `yaml:"host" spec:"pattern=text" doc:"Target compose: the fixed host name under which the caller knows the callee; absent: the callee's service in the compose file."`
	Through  *Through    `yaml:"through" doc:"Target remote: the proxy that the edge runs through already."`
	Port     string      `yaml:"port" spec:"default=http" doc:"Port of the callee."`
	Timeout  Duration    `yaml:"timeout" doc:"How long the caller waits for an answer, where that is known; squall lint reasons with it."`
	Breaker  Duration    `yaml:"breaker" doc:"How long the caller's circuit breaker stays open before it tries again, where it has one; squall lint reasons with it."`
	When     SwitchNames `yaml:"when" doc:"It is there only with this switch, or with all of these."`
	Unless   SwitchNames `yaml:"unless" doc:"It is there only without this switch, or without any of these."`

	Direct bool   `yaml:"-"` // no proxy is on it
	Scheme string `yaml:"-"` // how addresses are written where a switch changed the protocol: the declared one
	Pos    Pos    `yaml:"-"` // of the key
	Src    Node   `yaml:"-" json:"-"`
}

// Name is "orders -> payments".
func (e Edge) Name() string { return e.Caller + " -> " + e.Callee }

// Books is an HTTP audit endpoint: it answers a JSON array of
// {key, id, effect, state, attrs, at}.
type Books struct {
	Service string   `yaml:"service" doc:"Service that keeps them; of several instances, any one is asked."`
	Path    string   `yaml:"path" spec:"pattern=path" doc:"Path of the audit endpoint."`
	Of      []string `yaml:"of" doc:"Instead of service and path: other sources taken together."`
}

// Defects says how defects are switched on.
type Defects struct {
	Env   string            `yaml:"env" spec:"required,pattern=env" doc:"Variable that takes a comma-separated list."`
	Known map[string]string `yaml:"known" spec:"required" doc:"Defects and what each switches off."`
}

// SLO is what Squall takes from an OpenSLO v1 file: indicator and target.
type SLO struct {
	Name   string
	Title  string
	Good   string  // PromQL of good events; empty where Bad is given
	Bad    string  // PromQL of bad events
	Total  string  // PromQL of all events
	Target float64 // 0..1
	Pos    Pos
}
