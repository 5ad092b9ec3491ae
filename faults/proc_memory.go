package faults

import "fmt"

// ProcMemoryParams are the parameters of proc-memory.
type ProcMemoryParams struct {
	Headroom Bytes `yaml:"headroom" spec:"default=0B" doc:"How much more than now the process and its children may use together."`
}

func newProcMemory(decode func(any) error) (Fault, error) {
	var p ProcMemoryParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	return holdFault{says: fmt.Sprintf("%s more than now", p.Headroom), hold: Hold{Memory: &MemoryRule{Headroom: uint64(p.Headroom)}}}, nil
}

func missingMemory() string {
	_, err := FindMemoryCgroup()
	if err != nil {
		return err.Error()
	}
	return ""
}

func init() {
	builtin(Kind{
		Name:    "proc-memory",
		Summary: "lets a service use hardly more memory than it does",
		Needs:   NeedsMemory,
		Whole:   "the limit is that of a process and its children together",
		Missing: missingMemory,
		Params:  ProcMemoryParams{},
		Doc: `The memory of the process and its children is limited to what they use at least (50ms are looked at) plus the headroom. Beyond it the
kernel takes back what can be read again from disk, which makes them slow, and kills a process when that does not suffice.
Needs memory cgroups (version 1 or 2) that squall may write; the service starts in one of its own.
Receipt: how often the limit was met, and how many processes the kernel killed for it.
Undo: the limit is lifted; a service that the kernel killed is started again.`,
		New:    newProcMemory,
		Revert: revertHold,
	})
}
