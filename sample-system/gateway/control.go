package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
)

// control is where an operator decides on deployments.
type control struct {
	deploys  *deploys
	services map[string]*upstream
	profile  *strangler
	flush    service.Handler
}

// routes registers the operator's endpoints.
func (c *control) routes(h *service.Host) {
	h.HandleOps("GET /deploys", c.handleList)
	h.HandleOps("PUT /deploys/{service}", c.handleDeploy)
	h.HandleOps("PUT /migrations/profile", c.handleMigrate)
	h.HandleOps("GET /audit/deploys", c.handleBooks)
	h.HandleOps("DELETE /cache", c.flush)
	h.Metrics.MustRegister(weights{c})
}

// deployRequest asks for one of two things: a canary's share, or another live version.
type deployRequest struct {
	Canary *Canary `json:"canary"`
	Live   string  `json:"live"`
}

// decodeDeploy reads and checks a request; its errors are Problems or from the reader.
func decodeDeploy(r io.Reader) (deployRequest, error) {
	var d deployRequest
	if err := service.DecodeJSON(r, &d); err != nil {
		return deployRequest{}, err
	}
	switch {
	case (d.Canary == nil) == (d.Live == ""):
		return deployRequest{}, service.Invalid(`want either "canary" or "live"`)
	case d.Canary == nil && !service.ValidID(d.Live):
		return deployRequest{}, service.Invalid("live: want a version")
	case d.Canary != nil && (!service.ValidID(d.Canary.Version) || d.Canary.Weight < 0 || d.Canary.Weight > 100):
		return deployRequest{}, service.Invalid("canary: want a version and a weight of 0 to 100 percent")
	}
	return d, nil
}

func (c *control) handleDeploy(w http.ResponseWriter, r *http.Request) error {
	u := c.services[r.PathValue("service")]
	if u == nil {
		return service.Problem{Status: http.StatusNotFound, Title: "no such service behind the gateway"}
	}
	d, err := decodeDeploy(http.MaxBytesReader(w, r.Body, service.MaxBody))
	if err != nil {
		return service.InputProblem(err)
	}
	var state State
	if d.Canary != nil {
		if d.Canary.Weight > 0 && !known(u.instances(), d.Canary.Version) {
			return nobody(u.service, d.Canary.Version)
		}
		state, err = u.split.startCanary(r.Context(), *d.Canary)
	} else {
		if !known(u.instances(), d.Live) {
			return nobody(u.service, d.Live)
		}
		state, err = u.split.switchTo(r.Context(), d.Live)
	}
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, state)
}

// nobody refuses to send requests where no one would answer them.
func nobody(name, version string) service.Problem {
	return service.Problem{Status: http.StatusConflict, Title: "no such version", Detail: fmt.Sprintf("no instance of %s has version %s", name, version)}.NotExecuted()
}

// decodeMigration reads and checks a percentage; its errors are Problems or from the reader.
func decodeMigration(r io.Reader) (int, error) {
	var m struct {
		Percent *int `json:"percent"`
	}
	if err := service.DecodeJSON(r, &m); err != nil {
		return 0, err
	}
	if m.Percent == nil || *m.Percent < 0 || *m.Percent > 100 {
		return 0, service.Invalid("percent: want 0 to 100")
	}
	return *m.Percent, nil
}

func (c *control) handleMigrate(w http.ResponseWriter, r *http.Request) error {
	percent, err := decodeMigration(http.MaxBytesReader(w, r.Body, service.MaxBody))
	if err != nil {
		return service.InputProblem(err)
	}
	state, err := c.profile.move(r.Context(), percent)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, state)
}

func (c *control) handleList(w http.ResponseWriter, _ *http.Request) error {
	out := struct {
		Services   map[string]State `json:"services"`
		Migrations map[string]State `json:"migrations"`
	}{map[string]State{}, map[string]State{}}
	for name, u := range c.services {
		out.Services[name], _ = c.deploys.state(u.split.key())
	}
	out.Migrations["profile"], _ = c.deploys.state(migrationKey)
	return service.WriteJSON(w, http.StatusOK, out)
}

// handleBooks answers the history of decisions, each with its reason.
func (c *control) handleBooks(w http.ResponseWriter, r *http.Request) error {
	past, err := c.deploys.history(r.Context())
	if err != nil {
		return err
	}
	rows := make([]audit.Row, len(past))
	for i, p := range past {
		attrs := map[string]string{"by": p.By, "reason": p.Reason, "live": p.Live, "percent": strconv.Itoa(p.Percent)}
		if p.Canary != nil {
			attrs["canary"], attrs["weight"] = p.Canary.Version, strconv.Itoa(p.Canary.Weight)
		}
		rows[i] = audit.Row{Key: p.key, ID: fmt.Sprintf("%s/%d", p.key, p.number), State: "decided", Attrs: attrs, At: p.At.UnixNano()}
	}
	return service.WriteJSON(w, http.StatusOK, rows)
}

// weights shows the split of each service that a decision was made for.
type weights struct{ c *control }

var weightDesc = prometheus.NewDesc("gateway_deploy_weight", "Percent of the requests that a version gets; live: whichever is not the canary.",
	[]string{"callee", "version"}, nil)

// Describe names the metric.
func (w weights) Describe(descs chan<- *prometheus.Desc) { descs <- weightDesc }

// Collect reads the split.
func (w weights) Collect(metrics chan<- prometheus.Metric) {
	for name, u := range w.c.services {
		state, decided := w.c.deploys.state(u.split.key())
		if !decided {
			continue
		}
		rest := 100
		if canary := state.Canary; canary != nil {
			rest -= canary.Weight
			metrics <- prometheus.MustNewConstMetric(weightDesc, prometheus.GaugeValue, float64(canary.Weight), name, canary.Version)
		}
		metrics <- prometheus.MustNewConstMetric(weightDesc, prometheus.GaugeValue, float64(rest), name, live(state).name())
	}
}
