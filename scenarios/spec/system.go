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
	Switches []string       `yaml:"-"` // that are on, sorted

	src         Node
	absent      map[string]string // services and edges that With left out, and why
	absentBooks map[string]string // ledger sources likewise
}

// SystemSpec describes services, edges and books.
type SystemSpec struct {
	Target   string             `yaml:"target" spec:"required,enum=process" doc:"How the services run."`
	Defaults ServiceDefaults    `yaml:"defaults" doc:"What every service has unless it says otherwise; env is taken variable by variable."`
	Services map[string]Service `yaml:"services" spec:"required,pattern=name,min=1" doc:"Every service Squall may touch."`
	Edges    Edges              `yaml:"edges" spec:"required" doc:"Who calls whom: 'orders -> payments'. The caller 'client' is the load generator. With replicas, every instance calls every instance."`
	Switches map[string]Switch  `yaml:"switches" spec:"pattern=name" doc:"Variants of the system that a scenario chooses by spec.switches, and a command by --switch."`
	SLOs     []string           `yaml:"slos" spec:"pattern=text" doc:"OpenSLO v1 files or folders, relative to this file."`
	Ledger   map[string]Books   `yaml:"ledger" spec:"pattern=name" doc:"Where the system keeps its books, by source name."`
	Defects  *Defects           `yaml:"defects" doc:"Off switches of resilience mechanisms, for squall run --defect and prove."`
}

// Service is one service and how its processes are started. In command and env
// values, ${self.PORT} and ${SERVICE.PORT} become host:port, ${name} the name of
// the instance, ${data} this service's data folder, which its instances share,
// ${shared} one folder for all services, and ${dir} the folder of the system
// file. ${SERVICE.PORT} of a service with replicas becomes all of them, joined
// by commas; ${SERVICE-2.PORT} names one.
type Service struct {
	Command []string          `yaml:"command" spec:"required,min=1" doc:"Program and arguments. A relative program is looked up beside the system file."`
	Env     map[string]string `yaml:"env" spec:"pattern=env" doc:"Environment of the process."`
	Ports   []string          `yaml:"ports" spec:"pattern=name" doc:"Named ports; Squall picks a free loopback port for each."`
	Ready   Ready             `yaml:"ready" doc:"When it counts as ready."`
	Metrics string            `yaml:"metrics" spec:"pattern=path" doc:"Path of its Prometheus metrics; absent: not scraped."`
	Port    string            `yaml:"port" spec:"default=http" doc:"The port that metrics, readiness and books are read from."`
	Defects []string          `yaml:"defects" doc:"Defects this service knows."`
	Stop    Duration          `yaml:"stop" spec:"default=3s" doc:"Time between SIGTERM and SIGKILL."`

	Replicas int      `yaml:"replicas" spec:"min=1,max=99" doc:"Runs it as instances NAME-1 to NAME-N; absent: once, under its own name."`
	When     string   `yaml:"when" doc:"It is there only with this switch."`
	Unless   string   `yaml:"unless" doc:"It is there only without this switch."`
	Requires []string `yaml:"requires" spec:"pattern=program" doc:"Programs that must be on the machine; without one, scenarios on this system are skipped."`

	Of      string `yaml:"-"` // the service as declared; of an instance, not its own name
	Ordinal int    `yaml:"-"` // of an instance, from 1; 0 without replicas
}

// ServiceDefaults are fields of services. They are filled in before services are
// decoded, so that what is in Services is complete.
type ServiceDefaults struct {
	Service `yaml:",inline"`
}

// Switch is a variant of the system that can be on or off.
type Switch struct {
	Title    string            `yaml:"title" doc:"One line for people."`
	Env      map[string]string `yaml:"env" spec:"pattern=env" doc:"Added to the environment of every service while it is on; a service's own env wins."`
	Protocol string            `yaml:"protocol" spec:"enum=tcp" doc:"What http edges between services carry while it is on, such as TLS that proxies cannot look into. Addresses stay as they are written without it."`
}

// Ready is a readiness probe.
type Ready struct {
	HTTP   string   `yaml:"http" spec:"pattern=path" doc:"Path that answers 2xx once ready."`
	Within Duration `yaml:"within" spec:"default=20s" doc:"Longest wait."`
}

// Edges in the order of the file.
type Edges []Edge

// Edge is one caller-callee pair. Its callee's address reaches the caller by
// an environment variable, so that Squall can put a proxy between. Several
// edges of one caller with the same variable are joined by commas.
type Edge struct {
	Caller string `yaml:"-"`
	Callee string `yaml:"-"`

	Protocol string `yaml:"protocol" spec:"required,enum=http|tcp|nats|postgres" doc:"Decides which faults may apply."`
	Env      string `yaml:"env" spec:"required,pattern=env" doc:"Variable that tells the caller where the callee is."`
	Port     string `yaml:"port" spec:"default=http" doc:"Port of the callee."`
	When     string `yaml:"when" doc:"It is there only with this switch."`
	Unless   string `yaml:"unless" doc:"It is there only without this switch."`

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
