package autoscaler

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
)

// maxBook bounds the book; at a decision every few seconds it covers an hour.
const maxBook = 1000

// book is what was decided lately, oldest first. It is not kept over a restart,
// which ends all that was started.
type book struct {
	service string

	mu   sync.Mutex
	n    int
	rows []audit.Row
}

func (b *book) add(state string, effect int, instance, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rows) == maxBook {
		b.rows = slices.Delete(b.rows, 0, 1)
	}
	b.n++
	b.rows = append(b.rows, audit.Row{
		Key: b.service, ID: strconv.Itoa(b.n), Effect: effect, State: state, At: time.Now().UnixNano(),
		Attrs: map[string]string{"instance": instance, "reason": why},
	})
}

// handleAudit shows the book.
func (b *book) handleAudit(w http.ResponseWriter, _ *http.Request) error {
	b.mu.Lock()
	rows := append([]audit.Row{}, b.rows...)
	b.mu.Unlock()
	return service.WriteJSON(w, http.StatusOK, rows)
}
