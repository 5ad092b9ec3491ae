//go:build !linux

package app

import (
	"errors"
	"os"
)

func singleKeys(*os.File) (restore func(), err error) {
	return nil, errors.New("single keys are read on Linux only")
}
