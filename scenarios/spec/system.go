package spec

// System says what Squall may touch, and how to start and reach it.
type System struct {
	APIVersion string     `yaml:"apiVersion" spec:"required,const=squall/v1" doc:"Format of this file."`
	Kind       string     `yaml:"kind" spec:"required,const=System" doc:"What this file holds."`
	Metadata   Metadata   `yaml:"metadata" spec:"required" doc:"Name and labels."`
	Spec       SystemSpec `yaml:"spec" spec:"required" doc:"The system."`

	File     string         `yaml:"-"`
	SLOs     map[string]SLO `yaml:"-"` // from the files of spec.slos, by name
	SLOFiles []string       `yaml:"-"` // where they were read from

	src Node
}

// SystemSpec describes services, edges and books.
type SystemSpec struct {
	Target   string             `yaml:"target" spec:"required,enum=process" doc:"How the services run."`
	Services map[string]Service `yaml:"services" spec:"required,pattern=name,min=1" doc:"Every service Squall may touch."`
	Edges    Edges              `yaml:"edges" spec:"required" doc:"Who calls whom: 'orders -> payments'. The caller 'client' is the load generator."`
	SLOs     []string           `yaml:"slos" spec:"pattern=text" doc:"OpenSLO v1 files or folders, relative to this file."`
	Ledger   map[string]Books   `yaml:"ledger" spec:"pattern=name" doc:"Where the system keeps its books, by source name."`
	Defects  *Defects           `yaml:"defects" doc:"Off switches of resilience mechanisms, for squall run --defect and prove."`
}

// Service is one service and how its process is started. In command and env
// values, ${self.PORT} and ${SERVICE.PORT} become host:port, ${data} this
// service's data folder, ${dir} the folder of the system file.
type Service struct {
	Command []string          `yaml:"command" spec:"required,min=1" doc:"Program and arguments. A relative program is looked up beside the system file."`
	Env     map[string]string `yaml:"env" spec:"pattern=env" doc:"Environment of the process."`
	Ports   []string          `yaml:"ports" spec:"pattern=name" doc:"Named ports; Squall picks a free loopback port for each."`
	Ready   Ready             `yaml:"ready" doc:"When it counts as ready."`
	Metrics string            `yaml:"metrics" spec:"pattern=path" doc:"Path of its Prometheus metrics; absent: not scraped."`
	Port    string            `yaml:"port" spec:"default=http" doc:"The port that metrics, readiness and books are read from."`
	Defects []string          `yaml:"defects" doc:"Defects this service knows."`
	Stop    Duration          `yaml:"stop" spec:"default=3s" doc:"Time between SIGTERM and SIGKILL."`
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

	Pos Pos  `yaml:"-"` // of the key
	Src Node `yaml:"-" json:"-"`
}

// Name is "orders -> payments".
func (e Edge) Name() string { return e.Caller + " -> " + e.Callee }

// Books is an HTTP audit endpoint: it answers a JSON array of
// {key, id, effect, state, attrs, at}.
type Books struct {
	Service string   `yaml:"service" doc:"Service that keeps them."`
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
