package remote

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/url"
	"sync"
)

// join copies whole lines of several logs into one, and ends with ctx.
func join(ctx context.Context, to *io.PipeWriter, logs []io.ReadCloser) {
	stop := context.AfterFunc(ctx, func() { _ = to.Close() })
	defer stop()
	var all sync.WaitGroup
	var one sync.Mutex
	for _, log := range logs {
		all.Go(func() {
			defer func() { _ = log.Close() }()
			lines := bufio.NewReader(log)
			for {
				line, err := lines.ReadBytes('\n')
				if err != nil {
					return
				}
				one.Lock()
				_, err = to.Write(line)
				one.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	if len(logs) > 0 {
		_ = to.Close() // a log that ends early is a gap, as the reader will say
		return
	}
	<-ctx.Done()
}

// reachable is a proxy's listen address as seen from here: one that listens
// everywhere is on the host of its API.
func reachable(listen, api string) string {
	host, port, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	if err != nil || host != "" && (ip == nil || !ip.IsUnspecified()) {
		return listen
	}
	if u, err := url.Parse(api); err == nil {
		return net.JoinHostPort(u.Hostname(), port)
	}
	return listen
}

func address(protocol, hostPort string) string {
	if protocol == "tcp" || protocol == "grpc" {
		return hostPort
	}
	return protocol + "://" + hostPort
}
