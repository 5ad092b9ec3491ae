package faults

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// errLeaseOver says that the kernel has ended the drop: nobody renewed it.
var errLeaseOver = errors.New("lease is over")

// DropPackets begins to drop at once. Of every thousand packets of a direction
// r.Drop are lost, at places that seed decides, the same in each thousand. With
// a lease of 0 it goes on until Close.
func DropPackets(at netip.AddrPort, r PacketRule, seed uint64, lease time.Duration) (*PacketTable, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	return newPacketTable(at, func(p *PacketTable) error { return p.drop(r, seed, lease) })
}

// CountRefused counts the connections to an address that the kernel refuses, for
// want of a listener: the resets that answer a first packet have no sequence
// number. It changes nothing.
func CountRefused(at netip.AddrPort) (*PacketTable, error) {
	return newPacketTable(at, func(p *PacketTable) error {
		const tcpFlags, reset = 13, 0x04
		p.addRule(append(p.ofAddress(toCaller), is(p.port...),
			tcpField(tcpFlags, 1), &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{reset}, Xor: []byte{0}}, is(reset),
			tcpField(4, 4), is(0, 0, 0, 0)))
		return nil
	})
}

func (p *PacketTable) drop(r PacketRule, seed uint64, lease time.Duration) error {
	p.ports = &nftables.Set{Table: p.table, Name: "ports", ID: 1, KeyType: nftables.TypeInetService, HasTimeout: true}
	if err := p.conn.AddSet(p.ports, []nftables.SetElement{{Key: p.port, Timeout: lease}}); err != nil {
		return err
	}
	p.places = packetPlaces(seed)
	if r.Drop < 1 {
		p.lost = &nftables.Set{Table: p.table, Name: "lost", ID: 2, KeyType: nftables.TypeInteger, KeyByteOrder: binaryutil.NativeEndian}
		if err := errors.Join(p.conn.AddSet(p.lost, nil), p.take(r.thousandths())); err != nil {
			return err
		}
	}
	for _, dir := range []direction{toCallee, toCaller} {
		if r.Stream == "" || r.Stream == dir.stream {
			p.addRule(p.losing(dir), &expr.Verdict{Kind: expr.VerdictDrop})
		}
	}
	return nil
}

// losing matches the packets of a direction that are lost.
func (p *PacketTable) losing(dir direction) []expr.Any {
	rule := append(p.ofAddress(dir), &expr.Lookup{SourceRegister: 1, SetName: p.ports.Name, SetID: p.ports.ID})
	if p.lost == nil {
		return rule
	}
	return append(rule,
		&expr.Numgen{Register: 1, Modulus: perThousand, Type: unix.NFT_NG_INCREMENTAL},
		&expr.Lookup{SourceRegister: 1, SetName: p.lost.Name, SetID: p.lost.ID})
}

// take adds places until n are lost.
func (p *PacketTable) take(n int) error {
	var elements []nftables.SetElement
	for _, place := range p.places[p.taken:max(n, p.taken)] {
		elements = append(elements, nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(place))})
	}
	p.taken += len(elements)
	return p.conn.SetAddElements(p.lost, elements)
}

// Grow drops a larger share than before; one that is not larger changes nothing.
func (p *PacketTable) Grow(drop float64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := PacketRule{Drop: drop}.thousandths()
	if p.conn == nil || p.lost == nil || n <= p.taken {
		return nil
	}
	if err := p.take(n); err != nil {
		return err
	}
	return p.flush()
}

// Renew makes the lease of a drop end so long from now. Adding a port that is
// there would not, so it is taken out and added in one transaction: no packet
// passes. A lease that is over is not taken up again.
func (p *PacketTable) Renew(lease time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ports == nil {
		return nil
	}
	if p.conn == nil {
		return errLeaseOver
	}
	err := errors.Join(
		p.conn.SetDeleteElements(p.ports, []nftables.SetElement{{Key: p.port}}),
		p.conn.SetAddElements(p.ports, []nftables.SetElement{{Key: p.port, Timeout: lease}}))
	if err != nil {
		return err
	}
	if err = p.flush(); errors.Is(err, unix.ENOENT) {
		err = errLeaseOver
	}
	return err
}

// missingPackets tells why this machine cannot drop packets, by making a table
// that would and removing it again. Port 9 is nobody's, and the lease is short.
func missingPackets() string {
	p, err := DropPackets(netip.MustParseAddrPort("127.0.0.1:9"), PacketRule{Drop: 0.001}, 0, time.Millisecond)
	if err == nil {
		_, err = p.Count()
		err = errors.Join(err, p.Close())
	}
	switch {
	case err == nil:
		return ""
	case errors.Is(err, unix.EPERM):
		return "the packet filter needs CAP_NET_ADMIN, such as root has"
	}
	return fmt.Sprintf("the packet filter needs nftables of Linux 5.12 or newer: %v", err)
}
