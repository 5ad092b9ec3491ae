package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// latency is a parameter struct as a fault kind would have it.
type latency struct {
	Latency Duration          `yaml:"latency" spec:"required,min=1ms" doc:"Delay of each request."`
	Jitter  Duration          `yaml:"jitter" doc:"Spread around it."`
	Stream  string            `yaml:"stream" spec:"default=downstream,enum=downstream|upstream|both" doc:"Direction."`
	Share   Ratio             `yaml:"share" spec:"default=100%" doc:"Share of requests."`
	Header  map[string]string `yaml:"header" doc:"Headers."`
	Status  *int              `yaml:"status" spec:"min=100,max=599" doc:"Status."`
	Every   uint8             `yaml:"every" doc:"Every nth."`
	Sticky  bool              `yaml:"sticky" spec:"default=true" doc:"Sticky."`
	Weight  float64           `yaml:"weight" doc:"Weight."`
	match   `yaml:",inline"`

	Pos Pos `yaml:"-"`
}

type match struct {
	Method string `yaml:"method" doc:"Method."`
}

// sloName is written as a word or as a mapping.
type sloName struct {
	Name   string   `yaml:"name" spec:"required" doc:"SLO."`
	Within Duration `yaml:"within" spec:"default=10s" doc:"Time."`
}

func (s *sloName) FromScalar(text string) error {
	if text == "nothing" {
		return errors.New("nothing is no SLO")
	}
	s.Name = text
	return nil
}

// params parses the scenario with one fault and gives the fault's parameters.
func params(t *testing.T, text string) Node {
	t.Helper()
	src := fmt.Sprintf("params: %s\n", text)
	root, ps := parseOne("f.yaml", []byte(src))
	require.Empty(t, ps)
	var holder struct {
		Params Node `yaml:"params"`
	}
	require.NoError(t, Node{at: Pos{"f.yaml", 1, 1}, node: root}.Decode(&holder))
	return holder.Params
}

func TestDecodeParams(t *testing.T) {
	var p latency
	require.NoError(t, params(t, `{latency: 3s, share: 30%, header: {X-A: 1}, status: 503, every: 2, sticky: false, weight: 0.5, method: GET}`).Decode(&p))
	status := 503
	assert.Equal(t, latency{
		Latency: 3e9, Stream: "downstream", Share: 0.3, Header: map[string]string{"X-A": "1"}, Status: &status,
		Every: 2, Weight: 0.5, match: match{"GET"}, Pos: Pos{"f.yaml", 1, 9},
	}, p)
}

func TestDecodeParamsProblems(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                             `f.yaml:1:9: missing required field "latency" in params`,
		``:                               `f.yaml:1:8: missing required field "latency" in params`,
		`3s`:                             `f.yaml:1:9: params: want a mapping of latency, jitter, stream, share, header, status, every, sticky, weight, method, found the text "3s"`,
		`{latency: 0s}`:                  `f.yaml:1:19: latency: want at least 1ms, found 0s`,
		`{latncy: 3s}`:                   `f.yaml:1:10: unknown field "latncy" in params (did you mean "latency"?)`,
		`{latency: 3s, latency: 4s}`:     `f.yaml:1:23: "latency" is given twice in params`,
		`{latency: 3s, stream: up}`:      `f.yaml:1:31: stream: unknown value "up", want one of downstream, upstream, both`,
		`{latency: 3s, share: 30}`:       `f.yaml:1:30: share: ratio 30 is above 1: write 0.3 or 30%`,
		`{latency: 3s, status: 99}`:      `f.yaml:1:31: status: want at least 100, found 99`,
		`{latency: 3s, status: 600}`:     `f.yaml:1:31: status: want at most 599, found 600`,
		`{latency: 3s, status: "503"}`:   `f.yaml:1:31: status: want a whole number such as 3, found the text "503"`,
		`{latency: 3s, every: -1}`:       `f.yaml:1:30: every: want a whole number such as 3, found the number -1`,
		`{latency: 3s, every: 300}`:      `f.yaml:1:30: every: want a whole number such as 3, found the number 300`,
		`{latency: 3s, sticky: yes}`:     `f.yaml:1:31: sticky: want true or false, found the text "yes"`,
		`{latency: 3s, weight: .inf}`:    `f.yaml:1:31: weight: want a number such as 0.5, found the number .inf`,
		`{latency: 3s, header: {a: []}}`: `f.yaml:1:35: a: want text, found a list`,
	} {
		var p latency
		assert.EqualError(t, params(t, text).Decode(&p), want, text)
	}
}

func TestDecodeShortForm(t *testing.T) {
	var s sloName
	require.NoError(t, params(t, "checkout").Decode(&s))
	assert.Equal(t, "checkout", s.Name)
	require.NoError(t, params(t, "{name: checkout}").Decode(&s))
	assert.Equal(t, sloName{"checkout", 10e9}, s)
	assert.EqualError(t, params(t, "nothing").Decode(&s), "f.yaml:1:9: params: nothing is no SLO")
	assert.EqualError(t, params(t, "[a]").Decode(&s), "f.yaml:1:9: params: want text or a mapping of name, within, found a list")
}

func TestDecodeBasics(t *testing.T) {
	var text string
	require.NoError(t, params(t, "up == 1").Decode(&text))
	assert.Equal(t, "up == 1", text)
	var list []Duration
	require.NoError(t, params(t, "[1s, 2s]").Decode(&list))
	assert.Equal(t, []Duration{1e9, 2e9}, list)
	assert.EqualError(t, params(t, "[1, 2s, x]").Decode(&list), "f.yaml:1:10: params: duration needs a unit: write 250ms or 3s\n"+
		`f.yaml:1:17: params: "x" is not a duration: write 250ms, 3s or 1m30s`)
	assert.EqualError(t, Node{}.Decode(nil), "decode : want a pointer, got <nil>")
}

func TestNodePositions(t *testing.T) {
	n := params(t, "{a: {b: [x, y]}}")
	for _, c := range []struct {
		path []string
		col  int
	}{{nil, 9}, {[]string{"a"}, 13}, {[]string{"a", "b", "1"}, 21}, {[]string{"a", "c"}, 13}, {[]string{"a", "b", "7"}, 17}, {[]string{"z"}, 9}} {
		assert.Equal(t, Pos{"f.yaml", 1, c.col}, n.At(c.path...), c.path)
	}
	assert.Equal(t, Problem{Pos: Pos{"f.yaml", 1, 9}, Msg: "no", Suggest: "yes"}, n.Problem("no", "yes"))
	assert.Equal(t, "f.yaml:1:9: no (did you mean \"yes\"?)", n.Problem("no", "yes").Error())
}

func TestNodeJSON(t *testing.T) {
	n := params(t, `{z: 3s, a: [1, 0.5, true, ~, 0x10, .5, "7", !!int "{}"], <<: {m: 1}, t: "q\"<"}`)
	out, err := json.Marshal(n)
	require.NoError(t, err)
	want := `{"z":"3s","a":[1,0.5,true,null,"0x10",".5","7","{}"],"t":"q\"\u003c","m":1}`
	assert.Equal(t, want, string(out), "keys in order, merged ones last")

	var back Node
	require.NoError(t, json.Unmarshal(out, &back))
	again, err := json.Marshal(back)
	require.NoError(t, err)
	assert.Equal(t, want, string(again))

	out, err = json.Marshal(Node{})
	require.NoError(t, err)
	assert.Equal(t, "null", string(out))
}

func TestNodeFrom(t *testing.T) {
	var p latency
	require.NoError(t, NodeFrom(map[string]any{"latency": "3s", "jitter": Duration(2e8)}).Decode(&p))
	assert.Equal(t, []Duration{3e9, 2e8}, []Duration{p.Latency, p.Jitter})
	var s sloName
	require.NoError(t, NodeFrom("checkout-success").Decode(&s))
	assert.Equal(t, "checkout-success", s.Name)
}

func TestFields(t *testing.T) {
	fields := Fields(&latency{})
	require.Len(t, fields, 10)
	assert.Equal(t, Field{Name: "latency", Type: "duration", Required: true, Doc: "Delay of each request."}, fields[0])
	assert.Equal(t, Field{Name: "stream", Type: "text", Default: "downstream", Doc: "Direction.", Enum: []string{"downstream", "upstream", "both"}}, fields[2])
	types := map[string]string{}
	for _, f := range fields {
		types[f.Name] = f.Type
	}
	assert.Equal(t, map[string]string{"latency": "duration", "jitter": "duration", "stream": "text", "share": "ratio", "header": "mapping of text",
		"status": "whole number", "every": "whole number", "sticky": "true or false", "weight": "number", "method": "text"}, types)
	assert.Nil(t, Fields(nil))
	assert.Empty(t, Fields(struct{}{}))
	var edges []Field
	for _, f := range Fields(SystemSpec{}) {
		if f.Name == "edges" {
			edges = f.Fields
		}
	}
	assert.Equal(t, "protocol", edges[0].Name, "keys of mappings in a list")
}

func TestFormat(t *testing.T) {
	src := "a: 1\nspec:\n  rate: 200\n  duraton: 90s\n"
	p := Problem{Pos: Pos{"bad.yaml", 4, 3}, Msg: `unknown field "duraton" in phases`, Suggest: "duration"}
	later := Problem{Pos: Pos{File: "gone.yaml", Line: 9, Col: 1}, Msg: "no excerpt", Suggest: ""}
	read := func(file string) ([]byte, error) {
		if file == "bad.yaml" {
			return []byte(src), nil
		}
		return nil, errors.New("no such file")
	}
	var out bytes.Buffer
	require.NoError(t, Problems{later, p, p}.Format(&out, read))
	assert.Equal(t, `bad.yaml:4:3: unknown field "duraton" in phases (did you mean "duration"?)
    3 |   rate: 200
>   4 |   duraton: 90s
      |   ^^^^^^^
gone.yaml:9:1: no excerpt
`, out.String())
}

func TestAsProblems(t *testing.T) {
	at := Pos{"f.yaml", 2, 3}
	ps := Problems{{Pos: Pos{"f.yaml", 1, 1}, Msg: "x"}}
	assert.Equal(t, ps, AsProblems(fmt.Errorf("decode: %w", ps), at))
	assert.Equal(t, Problems{{Pos: at, Msg: "latency is too small"}}, AsProblems(errors.New("latency is too small"), at))
	assert.Nil(t, AsProblems(nil, at))
	assert.NoError(t, Problems(nil).Err())
}
