package faults

import (
	"errors"
	"fmt"
	"time"
)

// NetSlicerParams are the parameters of net-slicer.
type NetSlicerParams struct {
	Size         Bytes    `yaml:"size" spec:"required" doc:"Average size of a slice."`
	Variation    Bytes    `yaml:"variation" doc:"Slices are up to so much smaller or larger."`
	Delay        Duration `yaml:"delay" doc:"Pause after each slice, in whole microseconds."`
	StreamParams `yaml:",inline"`
	ConnParams   `yaml:",inline"`
	GateParams   `yaml:",inline"`
}

func newNetSlicer(decode func(any) error) (Fault, error) {
	var p NetSlicerParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	switch {
	case p.Size == 0:
		return nil, errors.New("size is zero: a slice has at least 1B")
	case p.Variation >= p.Size && p.Variation > 0:
		return nil, fmt.Errorf("variation %s is not below size %s", p.Variation, p.Size)
	case p.Delay%Duration(time.Microsecond) != 0:
		return nil, fmt.Errorf("delay %s is no whole microseconds", p.Delay)
	}
	a := struct {
		Size      int64 `json:"average_size"`
		Variation int64 `json:"size_variation,omitempty"`
		Delay     int64 `json:"delay,omitempty"` // µs
	}{int64(p.Size), int64(p.Variation), time.Duration(p.Delay).Microseconds()}
	return newToxicFault("slices of "+p.Size.String(), "slicer", a, p.StreamParams, p.ConnParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "net-slicer",
		Summary: "delivers bytes in small slices",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  NetSlicerParams{},
		Doc: `What was written in one go arrives in many small reads, with a pause after each. It finds readers that take one
read for one message. Nothing is lost or reordered.
Receipt: bytes that were sliced. Undo: the stage is removed; the rest comes in one piece.`,
		New:    newNetSlicer,
		Revert: revertStage,
	})
}
