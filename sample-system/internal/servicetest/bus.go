package servicetest

import (
	"testing"

	"squall/sample-system/internal/bustest"
)

// Bus runs a NATS server with JetStream, a single node, until the test ends and
// returns its address for NATS_URL.
func Bus(t testing.TB) string { return bustest.Start(t) }
