package faults

import "errors"

// NetBandwidthParams are the parameters of net-bandwidth.
type NetBandwidthParams struct {
	Rate         ByteRate `yaml:"rate" spec:"required" doc:"Bytes a second, of each connection and direction by itself."`
	StreamParams `yaml:",inline"`
	ConnParams   `yaml:",inline"`
	GateParams   `yaml:",inline"`
}

func newNetBandwidth(decode func(any) error) (Fault, error) {
	var p NetBandwidthParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Rate == 0 {
		return nil, errors.New("rate is zero: write net-timeout for a link on which nothing passes")
	}
	a := struct {
		Rate float64 `json:"rate"` // kB/s
	}{float64(p.Rate) / 1000}
	return newToxicFault("at most "+p.Rate.String(), "bandwidth", a, p.StreamParams, p.ConnParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "net-bandwidth",
		Summary: "limits the bytes a second of each connection",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  NetBandwidthParams{},
		Doc: `Bytes trickle at the rate; what cannot pass yet waits, and the sender is slowed by its own full buffers.
Receipt: bytes that went through the limit, with the delay it gave them. Undo: the stage is removed; what waits is delivered at once.`,
		New:    newNetBandwidth,
		Revert: revertStage,
	})
}
