package service

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"strconv"
	"strings"

	"squall/sample-system/internal/defect"
)

// Config is what every service is told by its environment.
type Config struct {
	Service string // the subcommand: what edges, schemas and metrics are named by
	Name    string // SHOP_NAME: instance, as it appears in logs; the service if unset
	Version string // SHOP_VERSION: what is deployed, "v1" if unset
	Listen  string // SHOP_LISTEN: host:port of business traffic
	Ops     string // SHOP_OPS: host:port of the operations listener; unset: Listen serves both
	Data    string // SHOP_DATA: folder, shared by all instances of the service
	Defects defect.Set
	Getenv  func(string) string // for what only one service knows, such as PAYMENTS_URL
	Log     io.Writer           // JSON lines
	TLS     *tls.Config         // of the business listener; nil: plain HTTP
	// Concurrency is SHOP_CONCURRENCY: requests in work at once, 0 for what
	// shed.go says.
	Concurrency int
	// Alone: when it ends no client is left who would have to notice, as at the
	// end of a test. Not by environment.
	Alone bool
}

// FromEnv reads the configuration of a service.
func FromEnv(service string, getenv func(string) string, log io.Writer) (Config, error) {
	cfg := Config{
		Service: service,
		Name:    cmp.Or(getenv("SHOP_NAME"), service),
		Version: cmp.Or(getenv("SHOP_VERSION"), "v1"),
		Listen:  getenv("SHOP_LISTEN"),
		Ops:     getenv("SHOP_OPS"),
		Data:    getenv("SHOP_DATA"),
		Getenv:  getenv,
		Log:     log,
	}
	if cfg.Listen == "" {
		return Config{}, fmt.Errorf("configure %s: SHOP_LISTEN is not set, want host:port", service)
	}
	var err error
	if cfg.Defects, err = defect.Parse(getenv("SHOP_DEFECTS")); err != nil {
		return Config{}, fmt.Errorf("configure %s: SHOP_DEFECTS: %w", service, err)
	}
	if v := getenv("SHOP_CONCURRENCY"); v != "" {
		if cfg.Concurrency, err = strconv.Atoi(v); err != nil || cfg.Concurrency < 1 {
			return Config{}, fmt.Errorf("configure %s: SHOP_CONCURRENCY is %q, want a positive number", service, v)
		}
	}
	return cfg, nil
}

// Addresses is the list of ways to the instances of another service, as it
// stands in the variable that names it, separated by commas.
func (c Config) Addresses(variable string) (string, error) {
	v := strings.TrimSpace(c.Getenv(variable))
	if v == "" {
		return "", fmt.Errorf("configure %s: %s is not set, want a URL or a list of them", c.Name, variable)
	}
	return v, nil
}

// DataDir is SHOP_DATA for a service that cannot do without.
func (c Config) DataDir() (string, error) {
	if c.Data == "" {
		return "", fmt.Errorf("configure %s: SHOP_DATA is not set, want a folder", c.Name)
	}
	return c.Data, nil
}
