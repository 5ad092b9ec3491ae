package faults

import "errors"

// HTTPDuplicateParams are the parameters of http-duplicate.
type HTTPDuplicateParams struct {
	MatchParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
	UpTo        Bytes `yaml:"upTo" spec:"default=1MiB" doc:"Requests with a longer body are left alone; at most 16MiB."`
}

// maxDuplicate bounds what the proxy keeps of a request to send it again.
const maxDuplicate = 16 << 20

func newHTTPDuplicate(decode func(any) error) (Fault, error) {
	var p HTTPDuplicateParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.UpTo > maxDuplicate {
		return nil, errors.New("upTo exceeds 16MiB: the proxy keeps the request to send it again")
	}
	rule := HTTPRule{Action: HTTPDuplicate, Bytes: int64(p.UpTo)}
	return newStageFault("second delivery", Stage{HTTP: &rule}, p.MatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "http-duplicate",
		Summary: "sends chosen requests to the callee twice",
		Needs:   NeedsHTTPLink,
		Unit:    "request",
		Params:  HTTPDuplicateParams{},
		Doc: `The callee gets each chosen request a second time, byte for byte, on the same connection right behind the
first. The caller gets the first reply; the second is dropped. The copy has no line in the wire log.
Requests that ask for an upgrade, for the end of the connection, or that have a longer body are left alone and not counted.
Receipt: requests sent twice. Undo: the stage is removed.`,
		New:    newHTTPDuplicate,
		Revert: revertStage,
	})
}
