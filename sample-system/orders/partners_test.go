package orders

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/deadline"
	"squall/sample-system/internal/service"
)

// What a partner does with a call.
const (
	fails   = "fails"   // 503, nothing is done
	refuses = "refuses" // 409, nothing is done
	loses   = "loses"   // done, but the answer is lost
	hangs   = "hangs"   // until the caller has gone
)

// partners are inventory, payments and catalog in one server: as idempotent,
// and with the same tombstones, as the real ones.
type partners struct {
	url string

	mu           sync.Mutex
	calls        map[string]int // by route
	fault        func(route string, n int) string
	reservations map[string]string // state by order
	charges      map[string]string
	charged      map[string]int64 // cents by order
	lines        map[string][]Item
	detail       string         // of a refusal
	undone       map[string]int // refunds and releases that had an effect
	delays       map[string]time.Duration
	told         map[string]time.Duration // the caller's deadline, by route
}

// Routes of the partners.
const (
	routeProduct = "GET /products/{sku}"
	routeReserve = "POST /reservations"
	routeCommit  = "POST /reservations/{order}/commit"
	routeRelease = "POST /reservations/{order}/release"
	routeCharge  = "POST /charges"
	routeRefund  = "POST /refunds"
)

func newPartners(t testing.TB) *partners {
	p := &partners{
		calls: map[string]int{}, reservations: map[string]string{}, charges: map[string]string{}, charged: map[string]int64{},
		lines: map[string][]Item{}, undone: map[string]int{}, delays: map[string]time.Duration{}, told: map[string]time.Duration{}, fault: func(string, int) string { return "" },
	}
	mux := http.NewServeMux()
	p.handle(mux, routeProduct, p.product)
	p.handle(mux, routeReserve, p.reserve)
	p.handle(mux, routeCommit, p.commit)
	p.handle(mux, routeRelease, func(r *http.Request) (int, any) { return p.undo(p.reservations, r.PathValue("order")) })
	p.handle(mux, routeCharge, p.charge)
	p.handle(mux, routeRefund, func(r *http.Request) (int, any) { return p.undo(p.charges, read[refundRequest](r).Order) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *partners) handle(mux *http.ServeMux, route string, do func(r *http.Request) (int, any)) {
	mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		ms, _ := strconv.Atoi(r.Header.Get(deadline.Header))
		p.calls[route]++
		p.told[route] = time.Duration(ms) * time.Millisecond
		delay := p.delays[route]
		fault := p.fault(route, p.calls[route])
		code, body := http.StatusServiceUnavailable, any(service.Problem{Title: "broken"})
		switch fault {
		case "", loses:
			code, body = do(r)
		case refuses:
			code, body = http.StatusConflict, service.Problem{Detail: cmp.Or(p.detail, "out of stock")}
		}
		p.mu.Unlock()
		_ = backoff.Wait(context.WithoutCancel(r.Context()), delay, nil)
		switch fault {
		case hangs:
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the caller goes
			<-r.Context().Done()
			return
		case loses:
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(body)
	})
}

func read[T any](r *http.Request) (v T) {
	_ = json.NewDecoder(r.Body).Decode(&v)
	return v
}

func (p *partners) product(r *http.Request) (int, any) {
	sku := r.PathValue("sku")
	if sku == "nothing" {
		return http.StatusNotFound, service.Problem{Title: "no such product"}
	}
	return http.StatusOK, map[string]any{"sku": sku, "price_cents": map[string]int64{"yacht": 5_000_000}[sku] + 1999}
}

func (p *partners) reserve(r *http.Request) (int, any) {
	req := read[reserveRequest](r)
	if p.reservations[req.Order] == "undone" {
		return http.StatusConflict, service.Problem{Detail: "reservation is released"}
	}
	p.reservations[req.Order] = cmp.Or(p.reservations[req.Order], "done")
	p.lines[req.Order] = req.Lines
	return http.StatusCreated, nil
}

func (p *partners) commit(r *http.Request) (int, any) {
	if p.reservations[r.PathValue("order")] == "undone" {
		return http.StatusConflict, service.Problem{Detail: "no reservation to commit"}
	}
	p.reservations[r.PathValue("order")] = "committed"
	return http.StatusOK, nil
}

func (p *partners) charge(r *http.Request) (int, any) {
	req := read[chargeRequest](r)
	if req.Amount > 1_000_000 {
		return http.StatusPaymentRequired, service.Problem{Detail: "declined"}
	}
	if p.charges[req.Order] == "undone" {
		return http.StatusConflict, service.Problem{Detail: "order is refunded"}
	}
	p.charges[req.Order] = "done"
	p.charged[req.Order] = req.Amount
	return http.StatusCreated, nil
}

func (p *partners) undo(book map[string]string, order string) (int, any) {
	if s := book[order]; s != "" && s != "undone" {
		p.undone[order]++
	}
	book[order] = "undone"
	return http.StatusOK, nil
}

// setFault says what happens from now on, and counts calls anew.
func (p *partners) setFault(f func(route string, n int) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.calls = f, map[string]int{}
}

func (p *partners) called(route string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[route]
}

// delay makes a route slow; it works on when its caller has gone.
func (p *partners) delay(route string, d time.Duration) { p.delays[route] = d }

// toldAt is the deadline that the last call of a route came with.
func (p *partners) toldAt(route string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told[route]
}

// effects are the states of an order's reservation and charge.
func (p *partners) effects(order string) (reservation, charge string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reservations[order], p.charges[order]
}

// always is a fault of one route.
func always(route, fault string) func(string, int) string {
	return func(r string, _ int) string {
		if r == route {
			return fault
		}
		return ""
	}
}
