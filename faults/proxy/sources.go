package proxy

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
)

// Sources returns where the proxy's live connections to the upstream come from,
// by which the upstream knows them, oldest first.
func (c *Client) Sources(ctx context.Context, proxy string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	err := c.call(ctx, "GET", "/squall/v1/proxies/"+url.PathEscape(proxy)+"/sources", nil, &out)
	return out, err
}

func (s *Server) listSources(r *http.Request) (int, any, error) {
	l, err := s.link(r.PathValue("proxy"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, l.sources(), nil
}

func (l *link) sources() []netip.AddrPort {
	list := []netip.AddrPort{}
	live := l.live()
	slices.SortFunc(live, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
	for _, c := range live {
		c.mu.Lock()
		if c.upstream != nil {
			list = append(list, c.upstream.LocalAddr().(*net.TCPAddr).AddrPort())
		}
		c.mu.Unlock()
	}
	return list
}
