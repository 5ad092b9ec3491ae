package faults

// DiskFullParams are the parameters of disk-full.
type DiskFullParams struct {
	OperationParams `yaml:",inline"`
}

func newDiskFull(decode func(any) error) (Fault, error) {
	var p DiskFullParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	return newDiskFault("no space left", DiskRule{Full: true}, p.OperationParams)
}

func init() {
	builtin(Kind{
		Name:    "disk-full",
		Summary: "leaves no room in a service's data folder",
		Needs:   NeedsData,
		Unit:    "operation",
		Missing: missingDisk,
		Params:  DiskFullParams{},
		Doc: `Whatever needs more room in ${data} fails with ENOSPC: writing beyond the end of a file, reserving space, making
a folder. Overwriting in place, empty files and removing go on, as on a disk that is full; room that is freed is taken by others at once.
Where only some operations are chosen, those are counted that need more room, and statfs (df) goes on telling of room.
The data folder of the service is served by squall itself (FUSE) in a run that aims a disk fault at it, from its start on.
Receipt: operations refused, with their numbers. Undo: the disk has room again; what was refused is not made up for.`,
		New:    newDiskFull,
		Revert: revertHold,
	})
}
