package app

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"squall/reports/live"
	"squall/runner/gameday"
)

// dayState lets other terminals find a day that goes on. It holds its token, so
// it is its owner's alone.
type dayState struct {
	Dir   string `json:"dir"`
	URL   string `json:"url"`
	Token string `json:"token"`
	PID   int    `json:"pid"`

	Observer string `json:"observer"` // token of those who may only look
}

func (a *app) daysDir() string { return filepath.Join(a.stateDir(), "gamedays") }

// serve starts the live page; the returned function ends it.
func (d *dayRun) serve() (stop func() error, err error) {
	events := live.NewEntries(d.dir)
	operator, observer := gameday.Token(), gameday.Token()
	local, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return nil, errors.Join(err, local.Close())
	}
	state := dayState{Dir: dir, URL: "http://" + local.Addr().String(), Token: operator, Observer: observer, PID: os.Getpid()}
	base := gameday.ServerConfig{
		Operator: operator, Observer: observer, Say: d.desk.Say, Day: d.page(), Events: events, Files: d.pageFiles(),
	}
	servers := []*gameday.Server{}
	var wg sync.WaitGroup
	start := func(cfg gameday.ServerConfig, l net.Listener, certs *tls.Config) {
		s := gameday.NewServer(cfg)
		servers = append(servers, s)
		wg.Go(func() { _ = s.Serve(l, certs) })
	}
	localCfg := base
	localCfg.Hosts = hostsOf(local.Addr().String())
	start(localCfg, local, nil)
	d.sayLink("live page", state.URL, operator)
	d.sayLink("observers", state.URL, observer)
	if d.certs != nil {
		l, err := net.Listen("tcp", d.f.listen)
		if err != nil {
			return nil, errors.Join(usage("--listen: %v", err), servers[0].Close())
		}
		public := base
		public.Secure, public.Hosts = true, publicHosts(l.Addr().String(), d.certs)
		start(public, l, d.certs)
		d.sayLink("elsewhere", "https://"+public.Hosts[0], observer)
	}
	file := filepath.Join(d.daysDir(), ownerOf(d.dir)+".json")
	if err := os.MkdirAll(d.daysDir(), 0o700); err != nil {
		return nil, err
	}
	data, _ := json.Marshal(state)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, err
	}
	return func() error {
		events.Close()
		for _, s := range servers {
			_ = s.Close()
		}
		wg.Wait()
		return os.Remove(file)
	}, nil
}

// sayLink prints a link with its token to a person's terminal, and without it
// where it may end in a log.
func (d *dayRun) sayLink(what, url, token string) {
	if d.TTY {
		fmt.Fprintf(d.Stdout, "%-10s %s/#%s\n", what, url, token)
	} else {
		fmt.Fprintf(d.Stdout, "%-10s %s/ (squall gameday link tells its token)\n", what, url)
	}
}

func hostsOf(addr string) []string {
	_, port, _ := net.SplitHostPort(addr)
	return []string{addr, net.JoinHostPort("localhost", port)}
}

// certs are those of a page that others can reach, which wants TLS; nil where
// there is none.
func (f dayFlags) certs() (*tls.Config, error) {
	switch {
	case f.listen == "" && f.cert == "" && f.key == "":
		return nil, nil
	case f.listen == "":
		return nil, usage("--tls-cert and --tls-key are of a page that others can reach: say where with --listen")
	case f.cert == "" || f.key == "":
		return nil, usage("--listen %s: a page that others can reach needs --tls-cert and --tls-key", f.listen)
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, usage("--tls-cert, --tls-key: %v", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// publicHosts are the names that the certificate is for, each with the port.
func publicHosts(addr string, certs *tls.Config) (hosts []string) {
	_, port, _ := net.SplitHostPort(addr)
	if leaf := certs.Certificates[0].Leaf; leaf != nil {
		for _, name := range leaf.DNSNames {
			hosts = append(hosts, net.JoinHostPort(name, port))
		}
		for _, ip := range leaf.IPAddresses {
			hosts = append(hosts, net.JoinHostPort(ip.String(), port))
		}
	}
	return append(hosts, addr)
}
