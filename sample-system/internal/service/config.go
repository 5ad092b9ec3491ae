package service

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"squall/sample-system/internal/defect"
)

// Config is what every service is told by its environment.
type Config struct {
	Name    string // SHOP_NAME: instance, as it appears in logs and audit rows
	Listen  string // SHOP_LISTEN: host:port of the HTTP server
	Data    string // SHOP_DATA: folder for this instance's database
	Defects defect.Set
	Getenv  func(string) string // for what only one service knows, such as PAYMENTS_URL
	Log     io.Writer           // JSON lines
}

// FromEnv reads the configuration of the service called name.
func FromEnv(name string, getenv func(string) string, log io.Writer) (Config, error) {
	cfg := Config{
		Name:   cmp.Or(getenv("SHOP_NAME"), name),
		Listen: getenv("SHOP_LISTEN"),
		Data:   getenv("SHOP_DATA"),
		Getenv: getenv,
		Log:    log,
	}
	if cfg.Listen == "" {
		return Config{}, fmt.Errorf("configure %s: SHOP_LISTEN is not set, want host:port", name)
	}
	var err error
	if cfg.Defects, err = defect.Parse(getenv("SHOP_DEFECTS")); err != nil {
		return Config{}, fmt.Errorf("configure %s: SHOP_DEFECTS: %w", name, err)
	}
	return cfg, nil
}

// URL is the base address of another service, from the variable that names it:
// a URL or a bare host:port.
func (c Config) URL(variable string) (string, error) {
	v := strings.TrimRight(c.Getenv(variable), "/")
	if v == "" {
		return "", fmt.Errorf("configure %s: %s is not set, want a URL", c.Name, variable)
	}
	if !strings.Contains(v, "://") {
		v = "http://" + v
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
