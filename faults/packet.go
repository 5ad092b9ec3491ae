package faults

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// PacketRule loses packets between the callers of an edge and its proxy.
type PacketRule struct {
	Drop   float64 `json:"drop"`             // share of the packets, in whole thousandths; 1: all
	Stream string  `json:"stream,omitempty"` // upstream, downstream; empty: both
}

// perThousand is the period of the pattern by which packets are lost. The
// kernel's chance cannot be seeded, and its random numbers would not be the
// same twice; a counter that runs over places drawn beforehand is.
const perThousand = 1000

// Check refuses what the packet filter cannot do.
func (r PacketRule) Check() error {
	if n := r.Drop * perThousand; !(n > 0 && n <= perThousand) || math.Abs(n-math.Round(n)) > 1e-6 {
		return fmt.Errorf("drop %v is not in whole thousandths above 0 up to 1", r.Drop)
	}
	if !slices.Contains([]string{"", "upstream", "downstream"}, r.Stream) {
		return fmt.Errorf("unknown stream %q, expected upstream or downstream", r.Stream)
	}
	return nil
}

func (r PacketRule) thousandths() int { return int(math.Round(r.Drop * perThousand)) }

// packetPlaces is the order in which the places of a thousand packets are
// taken by those that are lost: the first n of it for n thousandths.
func packetPlaces(seed uint64) []int {
	return rand.New(rand.NewPCG(seed, 0)).Perm(perThousand)
}

// packetLoss is a stage that loses packets, and how to say it; stream is both,
// upstream or downstream.
func packetLoss(share Ratio, stream string) (says string, s Stage) {
	rule, way := &PacketRule{Drop: float64(share), Stream: stream}, stream
	if stream == "both" {
		rule.Stream, way = "", "both ways"
	}
	return share.String() + " of packets lost " + way, Stage{Packets: rule}
}
