// Package squall is Squall's k6 extension: the JavaScript module k6/x/squall,
// which stamps business operations with an id and an outcome, and the output
// "squall", which streams aggregates and operations to the runner.
//
// SPDX-License-Identifier: AGPL-3.0-only
package squall

import (
	"go.k6.io/k6/js/modules"
	"go.k6.io/k6/output"
)

func init() {
	modules.Register("k6/x/squall", rootModule{})
	output.RegisterExtension("squall", newOutput)
}
