package faults

import (
	"fmt"
	"time"
)

// OperationParams choose the operations on a disk that a fault applies to, among
// those that it concerns. All that is given must hold.
type OperationParams struct {
	From        int      `yaml:"from" spec:"min=0" doc:"Only from the nth operation on; first and every count from there."`
	First       int      `yaml:"first" spec:"min=0" doc:"Only the first n operations."`
	Every       int      `yaml:"every" spec:"min=0" doc:"Only every nth operation."`
	Probability *Ratio   `yaml:"probability" doc:"Only this share of the operations, drawn per operation from the seed."`
	Ramp        Duration `yaml:"ramp" doc:"Grows from nothing to full over this time: a delay in size, everything else in the share that is hit."`
	Cap         int      `yaml:"cap" spec:"min=0" doc:"At most so many operations are hit; then the fault stands and does nothing more."`
}

// newDiskFault is a fault that is nothing but a rule on a disk, limited by what is given.
func newDiskFault(says string, rule DiskRule, p OperationParams) (Fault, error) {
	chosen := ConnParams{p.From, p.First, p.Every, p.Probability}
	words, err := chooseUnits(&rule.Match, "operation", chosen)
	if err != nil {
		return nil, err
	}
	if chosen != (ConnParams{}) {
		says += ": " + words
	}
	if p.Ramp > 0 {
		says += ", growing over " + p.Ramp.String()
	}
	if p.Cap > 0 {
		says += fmt.Sprintf(", at most %d", p.Cap)
	}
	rule.Ramp, rule.Cap = time.Duration(p.Ramp), uint64(p.Cap)
	return holdFault{says: says, hold: Hold{Disk: &rule}}, nil
}
