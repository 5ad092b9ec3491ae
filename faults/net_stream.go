package faults

import "encoding/json"

// StreamParams choose the direction of the bytes a fault acts on.
type StreamParams struct {
	Stream string `yaml:"stream" spec:"default=downstream,enum=downstream|upstream|both" doc:"downstream is what the callee sends, upstream what the caller sends."`
}

// stage is a toxic of that type on every chosen direction.
func (p StreamParams) stage(toxic string, attributes any) (Stage, error) {
	data, err := json.Marshal(attributes)
	if err != nil {
		return Stage{}, err
	}
	streams := []string{p.Stream}
	if p.Stream == "both" {
		streams = []string{"upstream", "downstream"}
	}
	var s Stage
	for _, stream := range streams {
		s.Toxics = append(s.Toxics, Toxic{Type: toxic, Stream: stream, Toxicity: 1, Attributes: data})
	}
	return s, nil
}

// newToxicFault is a fault that is one toxic, limited by what is given.
func newToxicFault(says, toxic string, attributes any, p StreamParams, limits ...narrowing) (Fault, error) {
	s, err := p.stage(toxic, attributes)
	if err != nil {
		return nil, err
	}
	return newStageFault(says+" "+p.Stream, s, limits...)
}
