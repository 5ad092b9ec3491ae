//go:build e2e || soak

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
)

type reply struct {
	code   int
	Status string `json:"status"`
	Reason string `json:"reason"`
	Detail string `json:"-"` // of a problem document
}

// sku of the yacht is dearer than any card bears.
const tea, yacht = "tea", "yacht"

func (s *shop) checkout(id, sku string) reply {
	r, err := s.tryCheckout(id, sku)
	require.NoError(s.t, err)
	return r
}

// tryCheckout is for when the gateway itself may be away.
func (s *shop) tryCheckout(id, sku string) (reply, error) {
	body := fmt.Sprintf(`{"items":[{"sku":%q,"qty":1}],"customer":"ada"}`, sku)
	return s.send(http.MethodPost, "/checkout", id, body)
}

func (s *shop) send(method, path, id, body string) (reply, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.addr["gateway.http"]+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("X-Request-Id", id)
	req.Header.Set("Idempotency-Key", id)
	if s.token != nil {
		req.Header.Set("Authorization", "Bearer "+s.token())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	r := reply{code: resp.StatusCode}
	b, err := io.ReadAll(resp.Body)
	switch kind := resp.Header.Get("Content-Type"); {
	case err != nil:
		return r, err
	case kind == "application/problem+json":
		var p service.Problem
		err = json.Unmarshal(b, &p)
		r.Detail = p.Title + ": " + p.Detail
	case kind == "application/json":
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// books reads an audit endpoint, by operation.
func (s *shop) books(service, path string) map[string][]audit.Row {
	resp, err := http.Get("http://" + s.addr[service+".ops"] + path)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
	var rows []audit.Row
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&rows))
	byKey := map[string][]audit.Row{}
	for _, r := range rows {
		byKey[r.Key] = append(byKey[r.Key], r)
	}
	return byKey
}

// account is what all books say about one operation.
type account struct {
	Order                                         string
	Charged, Paid, Reserved, Shipped, Mails, Rows int // Rows are those of payments' book
}

// accounts reads every book once.
func (s *shop) accounts() func(id string) account {
	orders, charges := s.books("orders-1", "/audit/orders"), s.books("payments-1", "/audit/charges")
	primary, backup := s.books("psp-primary", "/audit/money"), s.books("psp-backup", "/audit/money")
	stock, shipments, mails := s.books("inventory", "/audit/reservations"), s.books("shipping", "/audit/shipments"), s.books("notifications", "/audit/mails")
	sum := func(rows []audit.Row) (n int) {
		for _, r := range rows {
			n += r.Effect
		}
		return n
	}
	return func(id string) account {
		a := account{
			Charged: sum(charges[id]), Rows: len(charges[id]), Paid: sum(primary[id]) + sum(backup[id]),
			Reserved: sum(stock[id]), Shipped: sum(shipments[id]), Mails: sum(mails[id]),
		}
		if rows := orders[id]; len(rows) == 1 {
			a.Order = rows[0].State
		}
		return a
	}
}

func (s *shop) account(id string) account { return s.accounts()(id) }

// becomes waits until the books agree on an operation.
func (s *shop) becomes(id string, want account) {
	s.t.Helper()
	var got account
	ok := func() bool { got = s.account(id); return got == want }
	for deadline := time.Now().Add(15 * time.Second); !ok() && time.Now().Before(deadline); {
		<-time.After(50 * time.Millisecond) // poll
	}
	require.Equal(s.t, want, got, "books of %s", id)
}
