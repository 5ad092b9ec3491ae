package gameday

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// fields flattens a plan: "steps.slow.faults.0.says" to its JSON.
func fields(p *Plan) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	flatten("", p.Encode(), out)
	return out
}

func flatten(at string, data json.RawMessage, out map[string]json.RawMessage) {
	under := func(key string) string {
		if at == "" {
			return key
		}
		return at + "." + key
	}
	var object map[string]json.RawMessage
	var list []json.RawMessage
	switch {
	case json.Unmarshal(data, &object) == nil && object != nil:
		for k, v := range object {
			flatten(under(k), v, out)
		}
	case json.Unmarshal(data, &list) == nil && list != nil:
		for i, v := range list {
			flatten(under(name(v, i)), v, out)
		}
	default:
		out[at] = data
	}
}

// name is how an item of a list is called: by its id, where it has one.
func name(item json.RawMessage, i int) string {
	var named struct{ ID string }
	if json.Unmarshal(item, &named) == nil && named.ID != "" {
		return named.ID
	}
	return strconv.Itoa(i)
}

func sortedKeys(a, b map[string]json.RawMessage) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// clip keeps a value readable in one line; one that is not there is "absent".
func clip(v json.RawMessage) string {
	const most = 60
	if v == nil {
		return "absent"
	}
	if r := []rune(string(v)); len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(v)
}
