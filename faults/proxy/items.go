package proxy

import (
	"slices"
	"sync"
)

// maxItems bounds the names in a receipt: a person is to read them.
const maxItems = 50

// items are the names of the first units that a stage has affected.
type items struct {
	mu    sync.Mutex
	names []string
}

// add adds a name unless it is empty, there already, or one too many.
func (i *items) add(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if name != "" && len(i.names) < maxItems && !slices.Contains(i.names, name) {
		i.names = append(i.names, name)
	}
}

func (i *items) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.names)
}
