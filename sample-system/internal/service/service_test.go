package service_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

func TestErrorsAreProblems(t *testing.T) {
	url := servicetest.Start(t, func(_ context.Context, h *service.Host) error {
		h.Handle("GET /secret", func(http.ResponseWriter, *http.Request) error { return errors.New("password is 1234") })
		h.Handle("GET /panic", func(http.ResponseWriter, *http.Request) error { panic("password is 1234") })
		h.Handle("GET /problem", func(http.ResponseWriter, *http.Request) error { return service.Invalid("too small", "qty: 0") })
		h.Handle("POST /problem", func(w http.ResponseWriter, r *http.Request) error {
			var v struct{ N int }
			return service.ReadJSON(w, r, &v)
		})
		return nil
	}, nil)
	tests := []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/secret", "", 500, `{"title":"internal error","status":500,"instance":"op-1"}`},
		{"GET", "/panic", "", 500, `{"title":"internal error","status":500,"instance":"op-1"}`},
		{"GET", "/problem", "", 422, `{"title":"invalid","status":422,"detail":"too small","errors":["qty: 0"],"instance":"op-1"}`},
		{"GET", "/nothing", "", 404, `{"title":"not found","status":404,"instance":"op-1"}`},
		{"DELETE", "/problem", "", 405, `{"title":"method not allowed","status":405,"instance":"op-1"}`},
		{"POST", "/problem", `{"N":1,"M":2}`, 400, `{"title":"bad request","status":400,"detail":"decode body: json: unknown field \"M\"","instance":"op-1"}`},
		{"POST", "/problem", `{"N":` + strings.Repeat("1", service.MaxBody), 413, `{"title":"body too large","status":413,"detail":"decode body: http: request body too large","instance":"op-1"}`},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, url+tt.path, strings.NewReader(tt.body))
			require.NoError(t, err)
			req.Header.Set(service.RequestIDHeader, "op-1")
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			var body strings.Builder
			require.NoError(t, resp.Write(&body))
			_, json, _ := strings.Cut(body.String(), "\r\n\r\n")
			assert.Equal(t, tt.code, resp.StatusCode)
			assert.JSONEq(t, tt.want, json)
			assert.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
			assert.Equal(t, tt.code == 405, resp.Header.Get("Allow") != "")
		})
	}
	_, metrics := servicetest.Get(t, url+"/metrics")
	assert.Contains(t, metrics, `http_server_request_duration_seconds_count{code="422",method="GET",route="/problem"} 1`)
	assert.Contains(t, metrics, `http_server_request_duration_seconds_count{code="404",method="GET",route="other"} 1`)
}

// TestAnswerIsWholeOrNone: what cannot be encoded is an error and not an empty
// success, and an answer that fails half-way is cut off; both are measured.
func TestAnswerIsWholeOrNone(t *testing.T) {
	h := servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
		h.Handle("GET /nan", func(w http.ResponseWriter, _ *http.Request) error { return service.WriteJSON(w, 200, math.NaN()) })
		h.Handle("GET /half", func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, `[1,2`)
			return errors.Join(err, errors.New("no more rows"))
		})
		return nil
	}, servicetest.Config(t, nil))
	url := "http://" + h.Addr()
	code, body := servicetest.Get(t, url+"/nan")
	assert.Equal(t, 500, code)
	assert.Contains(t, body, "internal error")
	resp, err := http.Get(url + "/half")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	assert.Error(t, err, "half an answer looks whole")
	_, metrics := servicetest.Get(t, url+"/metrics")
	assert.Contains(t, metrics, `http_server_request_duration_seconds_count{code="500",method="GET",route="/nan"} 1`)
	assert.Contains(t, metrics, `http_server_request_duration_seconds_count{code="500",method="GET",route="/half"}`)
	assert.NotContains(t, metrics, `code="200",method="GET",route="/half"`)
}

// TestOpsApart: what is asked about a service is not on its business listener.
func TestOpsApart(t *testing.T) {
	cfg := servicetest.Config(t, nil)
	cfg.Ops = "127.0.0.1:0"
	h := servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
		h.Handle("GET /work", func(w http.ResponseWriter, _ *http.Request) error { return service.WriteJSON(w, 200, "done") })
		h.HandleOps("GET /audit/work", func(w http.ResponseWriter, _ *http.Request) error { return service.WriteJSON(w, 200, "rows") })
		return nil
	}, cfg)
	for path, onOps := range map[string]bool{"/livez": true, "/readyz": true, "/metrics": true, "/audit/work": true, "/work": false} {
		business, _ := servicetest.Get(t, "http://"+h.Addr()+path)
		ops, _ := servicetest.Get(t, "http://"+h.OpsAddr()+path)
		assert.Equal(t, onOps, business == 404, path)
		assert.Equal(t, onOps, ops/100 == 2, path)
	}
}

// TestBefore: a check that refuses keeps the request from the handler.
func TestBefore(t *testing.T) {
	url := servicetest.Start(t, func(_ context.Context, h *service.Host) error {
		h.Before(func(http.Header, *http.Request) error { return service.Problem{Status: 403, Title: "not you"} })
		h.Handle("GET /work", func(http.ResponseWriter, *http.Request) error { t.Error("served"); return nil })
		return nil
	}, nil)
	code, _ := servicetest.Get(t, url+"/work")
	assert.Equal(t, 403, code)
}

func TestTaskThatFailsEndsTheService(t *testing.T) {
	h, err := service.New(t.Context(), servicetest.Config(t, nil), func(_ context.Context, h *service.Host) error {
		h.Go("pump", func(context.Context) error { return errors.New("broken") })
		return nil
	})
	require.NoError(t, err)
	assert.EqualError(t, h.Run(t.Context()), "run test pump: broken")
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{"SHOP_LISTEN": "127.0.0.1:1", "SHOP_NAME": "orders-2", "PAYMENTS_URL": "a:1,http://b:2/"}
	getenv := func(name string) string { return env[name] }
	cfg, err := service.FromEnv("orders", getenv, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"orders", "orders-2", "v1"}, []string{cfg.Service, cfg.Name, cfg.Version})
	list, err := cfg.Addresses("PAYMENTS_URL")
	require.NoError(t, err)
	assert.Equal(t, "a:1,http://b:2/", list)
	_, err = cfg.Addresses("NOBODY_URL")
	assert.EqualError(t, err, "configure orders-2: NOBODY_URL is not set, want a URL or a list of them")
	env["SHOP_CONCURRENCY"] = "many"
	_, err = service.FromEnv("orders", getenv, nil)
	assert.EqualError(t, err, `configure orders: SHOP_CONCURRENCY is "many", want a positive number`)
	env["SHOP_DEFECTS"] = "D99"
	_, err = service.FromEnv("orders", getenv, nil)
	assert.ErrorContains(t, err, `unknown "D99"`)
	env["SHOP_LISTEN"] = ""
	_, err = service.FromEnv("orders", getenv, nil)
	assert.EqualError(t, err, "configure orders: SHOP_LISTEN is not set, want host:port")
}

func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"n":1}`, `{"n":1}{}`, `{"m":1}`, `[`, "", `{"n":1e999}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var v struct {
			N int `json:"n"`
		}
		var p service.Problem
		if err := service.InputProblem(service.DecodeJSON(strings.NewReader(body), &v)); err != nil {
			require.ErrorAs(t, err, &p)
			require.Equal(t, 400, p.Status)
		}
	})
}
