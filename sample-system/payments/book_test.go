package payments

import (
	"testing"

	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

func openBook(t *testing.T, h *service.Host) *book {
	db, err := store.Open(h, "payments.db", schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, db.Read.Close())
		require.NoError(t, db.Write.Close())
	})
	return &book{db: db}
}
