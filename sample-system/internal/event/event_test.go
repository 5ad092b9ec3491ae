package event_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/servicetest"
)

var sold = event.Event{
	Type: event.OrderConfirmed, Version: 2, ID: "o-1.2", Key: "o-1", Seq: 2, At: time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC),
	Data: event.Data{Customer: "ada", Items: []event.Item{{SKU: "tea", Qty: 2}}, AmountCents: 1999},
}

const (
	v1 = `{"type":"orders.confirmed","version":1,"id":"o-1.2","key":"o-1","seq":2,"at":"2026-05-01T12:00:00.000000005Z","data":{"customer":"ada","amount_cents":1999}}`
	v2 = `{"type":"orders.confirmed","version":2,"id":"o-1.2","key":"o-1","seq":2,"at":"2026-05-01T12:00:00.000000005Z",
	      "data":{"customer":"ada","items":[{"sku":"tea","qty":2}],"amount":{"value":"19.99","currency":"EUR"}}}`
	v3 = `{"type":"orders.confirmed","version":3,"id":"o-1.2","key":"o-1","seq":2,"at":"2026-05-01T12:00:00.000000005Z",
	      "data":{"customer":"ada","amount_cents":1999000,"scale":3}}`
)

func TestEncodedIsDecoded(t *testing.T) {
	d := event.NewDecoder(servicetest.Host(t))
	for _, kind := range []string{event.OrderPlaced, event.OrderConfirmed, event.OrderCancelled} {
		for _, amount := range []int64{0, 5, 99, 100, 1999, 1_000_000_000} {
			e := sold
			e.Type, e.Data.AmountCents = kind, amount
			b, err := event.Encode(e)
			require.NoError(t, err)
			got, err := d.Decode(b)
			require.NoError(t, err)
			assert.Equal(t, e, got)
		}
	}
}

func TestBothVersionsAreUnderstood(t *testing.T) {
	d := event.NewDecoder(servicetest.Host(t))
	got, err := d.Decode([]byte(v2))
	require.NoError(t, err)
	assert.Equal(t, sold, got)
	got, err = d.Decode([]byte(v1))
	require.NoError(t, err)
	want := sold
	want.Version, want.Data.Items = 1, nil
	assert.Equal(t, want, got)
	got, err = d.Decode([]byte(strings.Replace(v1, "1999", "1.999e3", 1)))
	require.NoError(t, err)
	assert.EqualValues(t, 1999, got.Data.AmountCents, "an integer written otherwise")
}

// TestUnknownVersion: refused, and under D35 read with a wrong amount.
func TestUnknownVersion(t *testing.T) {
	_, err := event.NewDecoder(servicetest.Host(t)).Decode([]byte(v3))
	assert.EqualError(t, err, "event orders.confirmed has version 3, known are 1 to 2")

	got, err := event.NewDecoder(servicetest.Host(t, defect.NoVersionCheck)).Decode([]byte(v3))
	require.NoError(t, err)
	assert.EqualValues(t, 1999000, got.Data.AmountCents, "1999 it was")
	got, err = event.NewDecoder(servicetest.Host(t, defect.NoVersionCheck)).Decode([]byte(v2))
	require.NoError(t, err)
	assert.Equal(t, sold, got, "known versions are not affected")
}

func TestMalformed(t *testing.T) {
	d := event.NewDecoder(servicetest.Host(t))
	for name, tt := range map[string]struct{ replace, with, want string }{
		"cut off":                     {v2[20:], "", "event is not JSON: unexpected EOF"},
		"two values":                  {v2, v2 + v2, "event is not JSON"},
		"a list":                      {v2, "[]", "event is not a JSON object"},
		"other type":                  {"orders.confirmed", "orders.lost", `unknown event type "orders.lost"`},
		"no version":                  {`"version":2,`, "", "has version 0"},
		"version as text":             {`"version":2`, `"version":"2"`, "has version 0"},
		"no customer":                 {`"customer":"ada",`, "", "at '/data': missing property 'customer'"},
		"other case":                  {`"customer"`, `"Customer"`, "missing property 'customer'"},
		"amount a float":              {`"19.99"`, "19.99", "at '/data/amount/value': got number, want string"},
		"amount too exact":            {"19.99", "19.999", "does not match pattern"},
		"other currency":              {"EUR", "USD", "at '/data/amount/currency'"},
		"order of another kind of id": {`"key":"o-1"`, `"key":"../o"`, "at '/key'"},
		"seq 0":                       {`"seq":2`, `"seq":0`, "at '/seq'"},
		"no time":                     {"2026-05-01T12:00", "yesterday", "at '/at'"},
		"no lines":                    {`{"sku":"tea","qty":2}`, "", "at '/data/items'"},
		"negative line":               {`"qty":2`, `"qty":-2`, "at '/data/items/0/qty'"},
		"too large":                   {v2, v2 + strings.Repeat(" ", 64<<10), "bytes, at most 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(v2, tt.replace, tt.with, 1)
			require.NotEqual(t, v2, bad)
			_, err := d.Decode([]byte(bad))
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "\n", "a cause is one line")
		})
	}
}

func TestEachTypeHasItsSchemas(t *testing.T) {
	files, err := os.ReadDir("schema")
	require.NoError(t, err)
	assert.Len(t, files, 1+3*2)
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{v1, v2, v3, "", "null", `{"type":`, `{"type":"orders.placed","version":1e0}`, "\x00\xff", strings.Repeat("[", 9000)} {
		f.Add([]byte(seed))
	}
	d := event.NewDecoder(servicetest.Host(f))
	lax := event.NewDecoder(servicetest.Host(f, defect.NoVersionCheck))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = lax.Decode(b)
		e, err := d.Decode(b)
		if err != nil {
			return
		}
		if e.ID == "" || e.Key == "" || e.Seq < 1 || e.Data.Customer == "" || e.Data.AmountCents < 0 || e.At.IsZero() {
			t.Fatalf("accepted %q as %+v", b, e)
		}
		again, err := event.Encode(e)
		if err != nil {
			t.Fatalf("cannot encode %+v: %v", e, err)
		}
		if e.Version == newestVersion && !bytesRead(t, d, again, e) {
			t.Fatalf("%q reads otherwise as %q", b, again)
		}
	})
}

const newestVersion = 2

func bytesRead(t *testing.T, d *event.Decoder, b []byte, want event.Event) bool {
	got, err := d.Decode(b)
	if err != nil {
		t.Fatalf("cannot decode %q: %v", b, err)
	}
	return got.At.Equal(want.At) && assert.ObjectsAreEqual(want.Data, got.Data) && got.ID == want.ID
}

func BenchmarkDecode(b *testing.B) {
	d := event.NewDecoder(servicetest.Host(b))
	for b.Loop() {
		if _, err := d.Decode([]byte(v2)); err != nil {
			b.Fatal(err)
		}
	}
}
