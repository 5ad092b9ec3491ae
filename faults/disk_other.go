//go:build !linux

package faults

func missingDisk() string { return "disks of squall's own are supported on linux only" }
