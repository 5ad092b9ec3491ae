package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"squall/faults"
)

// toxiproxyOwner owns the stages that came through Toxiproxy's API: one per
// toxic, without a lease.
const toxiproxyOwner = "toxiproxy"

func toxicStage(name string) string { return toxiproxyOwner + ":" + name }

func (s *Server) routeToxiproxy(mux *http.ServeMux) {
	mux.Handle("GET /version", answer(func(*http.Request) (int, any, error) {
		return http.StatusOK, map[string]string{"version": apiVersion}, nil
	}))
	mux.Handle("POST /reset", answer(s.resetAll))
	mux.Handle("POST /populate", answer(s.populate))
	mux.Handle("GET /proxies", answer(s.listProxies))
	mux.Handle("POST /proxies", answer(s.createProxy))
	mux.Handle("GET /proxies/{proxy}", s.onLink(showProxy))
	mux.Handle("POST /proxies/{proxy}", s.onLink(updateProxy))
	mux.Handle("PATCH /proxies/{proxy}", s.onLink(updateProxy))
	mux.Handle("DELETE /proxies/{proxy}", answer(func(r *http.Request) (int, any, error) {
		return http.StatusNoContent, nil, s.delete(r.PathValue("proxy"))
	}))
	mux.Handle("GET /proxies/{proxy}/toxics", s.onLink(listToxics))
	mux.Handle("POST /proxies/{proxy}/toxics", s.onLink(addToxic))
	mux.Handle("GET /proxies/{proxy}/toxics/{toxic}", s.onLink(showToxic))
	mux.Handle("POST /proxies/{proxy}/toxics/{toxic}", s.onLink(updateToxic))
	mux.Handle("PATCH /proxies/{proxy}/toxics/{toxic}", s.onLink(updateToxic))
	mux.Handle("DELETE /proxies/{proxy}/toxics/{toxic}", s.onLink(deleteToxic))
}

func (s *Server) onLink(f func(*link, *http.Request) (int, any, error)) answer {
	return func(r *http.Request) (int, any, error) {
		l, err := s.link(r.PathValue("proxy"))
		if err != nil {
			return 0, nil, err
		}
		return f(l, r)
	}
}

// resetAll enables every proxy and removes Toxiproxy's toxics. Stages of other
// owners are not its business.
func (s *Server) resetAll(r *http.Request) (int, any, error) {
	var errs []error
	for _, l := range s.all() {
		p := l.config()
		errs = append(errs, l.configure(p.Listen, p.Upstream, true))
	}
	_, err := s.removeOwner(r.Context(), toxiproxyOwner)
	return http.StatusNoContent, nil, errors.Join(append(errs, err)...)
}

// populate creates proxies; one that exists but differs is replaced.
func (s *Server) populate(r *http.Request) (int, any, error) {
	var entries []json.RawMessage
	if err := decode(r, &entries); err != nil {
		return 0, nil, err
	}
	proxies := []Proxy{}
	for i, entry := range entries {
		p := Proxy{Enabled: true}
		if err := json.Unmarshal(entry, &p); err != nil {
			return 0, nil, badRequest(fmt.Errorf("bad request body: proxy %d: %w", i, err))
		}
		l, err := s.ensure(p)
		if err != nil {
			return 0, nil, err
		}
		proxies = append(proxies, l.config())
	}
	return http.StatusCreated, map[string][]Proxy{"proxies": proxies}, nil
}

func (s *Server) ensure(p Proxy) (*link, error) {
	l, err := s.link(p.Name)
	if err != nil {
		return s.create(p)
	}
	if have := l.config(); sameAddr(have.Listen, p.Listen) && have.Upstream == p.Upstream {
		return l, l.configure(have.Listen, have.Upstream, p.Enabled)
	}
	if err := s.delete(p.Name); err != nil {
		return nil, err
	}
	return s.create(p)
}

// sameAddr tells whether listening on want could have given have.
func sameAddr(have, want string) bool {
	a, errA := net.ResolveTCPAddr("tcp", have)
	b, errB := net.ResolveTCPAddr("tcp", want)
	return errA == nil && errB == nil && a.Port == b.Port &&
		(a.IP.Equal(b.IP) || a.IP.IsUnspecified() && len(b.IP) == 0)
}

func (s *Server) listProxies(*http.Request) (int, any, error) {
	proxies := map[string]Proxy{}
	for _, l := range s.all() {
		proxies[l.name] = l.config()
	}
	return http.StatusOK, proxies, nil
}

func (s *Server) createProxy(r *http.Request) (int, any, error) {
	p := Proxy{Enabled: true}
	if err := decode(r, &p); err != nil {
		return 0, nil, err
	}
	l, err := s.create(p)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, l.config(), nil
}

func showProxy(l *link, _ *http.Request) (int, any, error) {
	return http.StatusOK, l.config(), nil
}

// updateProxy changes address, upstream and enabled; what is absent stays.
func updateProxy(l *link, r *http.Request) (int, any, error) {
	p := l.config()
	listen := p.Listen
	if err := decode(r, &p); err != nil {
		return 0, nil, err
	}
	if sameAddr(listen, p.Listen) {
		p.Listen = listen
	}
	if err := l.configure(p.Listen, p.Upstream, p.Enabled); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, l.config(), nil
}

func listToxics(l *link, _ *http.Request) (int, any, error) {
	return http.StatusOK, l.config().Toxics, nil
}

func addToxic(l *link, r *http.Request) (int, any, error) {
	t := faults.Toxic{Stream: "downstream", Toxicity: 1}
	if err := decode(r, &t); err != nil {
		return 0, nil, err
	}
	if t.Stream == "" {
		t.Stream = "downstream"
	}
	if t.Name == "" {
		t.Name = t.Type + "_" + t.Stream
	}
	if l.toxic(t.Name) != nil {
		return 0, nil, &apiError{"toxic already exists", http.StatusConflict}
	}
	return putToxic(r.Context(), l, t)
}

func showToxic(l *link, r *http.Request) (int, any, error) {
	st := l.toxic(r.PathValue("toxic"))
	if st == nil {
		return 0, nil, errNoToxic
	}
	return http.StatusOK, st.shown(), nil
}

// updateToxic changes toxicity and the attributes that are given.
func updateToxic(l *link, r *http.Request) (int, any, error) {
	st := l.toxic(r.PathValue("toxic"))
	if st == nil {
		return 0, nil, errNoToxic
	}
	now := st.shown()
	patch := struct {
		Toxicity   *float32                   `json:"toxicity"`
		Attributes map[string]json.RawMessage `json:"attributes"`
	}{Toxicity: &now.Toxicity}
	if err := json.Unmarshal(now.Attributes, &patch.Attributes); err != nil {
		return 0, nil, err
	}
	if err := decode(r, &patch); err != nil {
		return 0, nil, err
	}
	var err error
	if now.Attributes, err = json.Marshal(patch.Attributes); err != nil {
		return 0, nil, err
	}
	return putToxic(r.Context(), l, now)
}

func putToxic(ctx context.Context, l *link, t faults.Toxic) (int, any, error) {
	st := faults.Stage{Owner: toxiproxyOwner, Toxics: []faults.Toxic{t}}
	if _, err := l.put(ctx, toxicStage(t.Name), st); err != nil {
		return 0, nil, err
	}
	if st := l.toxic(t.Name); st != nil {
		t = st.shown()
	}
	return http.StatusOK, t, nil
}

func deleteToxic(l *link, r *http.Request) (int, any, error) {
	name := r.PathValue("toxic")
	if l.toxic(name) == nil {
		return 0, nil, errNoToxic
	}
	_, err := l.remove(r.Context(), hasID(toxicStage(name)))
	return http.StatusNoContent, nil, err
}

var errNoToxic = &apiError{"toxic not found", http.StatusNotFound}

// toxic returns the stage of a toxic that came through Toxiproxy's API, or nil.
func (l *link) toxic(name string) *stage {
	stages := l.current().stages
	i := slices.IndexFunc(stages, func(s *stage) bool {
		return s.Owner == toxiproxyOwner && s.id == toxicStage(name)
	})
	if i < 0 {
		return nil
	}
	return stages[i]
}

// shown is the stage's first toxic with every attribute spelled out.
func (s *stage) shown() faults.Toxic {
	t := s.Toxics[0]
	t.Attributes, _ = json.Marshal(s.toxics[0].shaper) // plain numbers: cannot fail
	return t
}
