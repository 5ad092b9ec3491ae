package faults

import (
	"fmt"
	"slices"
	"strings"
)

// GRPCCode is how a gRPC call ended, as a parameter its name: UNAVAILABLE.
type GRPCCode uint32

// grpcCodes by number, as in gRPC's doc/statuscodes.md.
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// FromScalar reads a parameter's text.
func (c *GRPCCode) FromScalar(text string) error {
	i := slices.Index(grpcCodes, text)
	if i < 1 {
		return fmt.Errorf("%q is no gRPC error: want one of %s", text, strings.Join(grpcCodes[1:], ", "))
	}
	*c = GRPCCode(i)
	return nil
}

// String is the code's name.
func (c GRPCCode) String() string {
	if int(c) < len(grpcCodes) {
		return grpcCodes[c]
	}
	return fmt.Sprintf("CODE(%d)", uint32(c))
}

// ScalarDoc describes the type for reference and schema.
func (GRPCCode) ScalarDoc() (name, example, pattern string) {
	return "gRPC code", "UNAVAILABLE", "^(" + strings.Join(grpcCodes[1:], "|") + ")$"
}
