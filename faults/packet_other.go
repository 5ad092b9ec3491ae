//go:build !linux

package faults

import (
	"errors"
	"net/netip"
	"time"
)

// PacketTable is Linux' alone.
type PacketTable struct{}

const onlyLinux = "the packet filter is nftables, of Linux"

// DropPackets always fails.
func DropPackets(netip.AddrPort, PacketRule, uint64, time.Duration) (*PacketTable, error) {
	return nil, errors.New(onlyLinux)
}

// CountRefused always fails.
func CountRefused(netip.AddrPort) (*PacketTable, error) { return nil, errors.New(onlyLinux) }

// Renew does nothing.
func (*PacketTable) Renew(time.Duration) error { return nil }

// Grow does nothing.
func (*PacketTable) Grow(float64) error { return nil }

// Count does nothing.
func (*PacketTable) Count() (uint64, error) { return 0, nil }

// Close does nothing.
func (*PacketTable) Close() error { return nil }

func missingPackets() string { return onlyLinux }
