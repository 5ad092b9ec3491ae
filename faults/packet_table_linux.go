package faults

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// PacketTable is a table of nftables for packets to and from one TCP address of
// this machine. Two things are the kernel's: the table belongs to our netlink
// socket and goes with it, however this process ends; and who drops packets
// looks the port up in a set from which it falls out when the lease ends, even
// if this process stands still. No table but our own is ever touched.
type PacketTable struct {
	mu    sync.Mutex
	conn  *nftables.Conn // nil after Close
	raw   *netlink.Conn
	table *nftables.Table
	chain *nftables.Chain
	at    netip.AddrPort
	port  []byte
	ports *nftables.Set // nil: nothing is dropped, only counted

	lost   *nftables.Set // nil: every packet is lost
	places []int         // of each thousand packets, in the order in which Grow takes them
	taken  int           // of places
}

// tableWithin bounds every exchange with the kernel, which takes microseconds.
const tableWithin = 2 * time.Second

// tableOwned is NFT_TABLE_F_OWNER of linux/netfilter/nf_tables.h, since Linux 5.12:
// the table is that socket's alone and goes with it.
const tableOwned = 1 << 1

// sockets is held while a socket is opened or closed. The kernel removes the tables
// of a port ID a moment after that ID is free again: a socket that is opened in that
// moment gets the same, and loses the table that it makes.
var sockets sync.Mutex

// newPacketTable makes a table and has fill put its rules into it.
func newPacketTable(at netip.AddrPort, fill func(*PacketTable) error) (*PacketTable, error) {
	if !at.Addr().IsLoopback() || at.Port() == 0 {
		return nil, fmt.Errorf("%s: packets are filtered on loopback only, where each is received on this machine", at)
	}
	p := &PacketTable{
		table: &nftables.Table{Family: nftables.TableFamilyINet, Name: "squall_" + strings.ToLower(rand.Text()[:10])},
		at:    netip.AddrPortFrom(at.Addr().Unmap(), at.Port()),
		port:  binaryutil.BigEndian.PutUint16(at.Port()),
	}
	if err := p.open(); err != nil {
		return nil, fmt.Errorf("make a table of nftables: %w", err)
	}
	// Where packets are received, not where they are sent: a sender is told of
	// what its own machine drops, and TCP does not take that for a loss.
	p.chain = p.conn.AddChain(&nftables.Chain{
		Table: p.table, Name: "input", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
	})
	err := fill(p)
	if err == nil {
		err = p.flush()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fill table %s of nftables: %w", p.table.Name, err), p.Close())
	}
	return p, nil
}

// open makes the table by hand: the library cannot say who owns it.
func (p *PacketTable) open() error {
	if err := p.dial(); err != nil {
		return err
	}
	if err := p.makeTable(); err != nil {
		return errors.Join(err, p.Close())
	}
	return nil
}

func (p *PacketTable) dial() (err error) {
	sockets.Lock()
	defer sockets.Unlock()
	p.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		p.raw = c
		return nil
	}))
	return err
}

func (p *PacketTable) makeTable() error {
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(p.table.Name), 0)},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binaryutil.BigEndian.PutUint32(tableOwned)},
	})
	if err != nil {
		return err
	}
	nfgen := func(family, resource byte) []byte { return []byte{family, unix.NFNETLINK_V0, 0, resource} }
	message := func(kind int, flags netlink.HeaderFlags, data []byte) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | flags}, Data: data}
	}
	if err := p.raw.SetDeadline(time.Now().Add(tableWithin)); err != nil {
		return err
	}
	if _, err := p.raw.SendMessages([]netlink.Message{
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, nfgen(0, unix.NFNL_SUBSYS_NFTABLES)),
		message(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE, netlink.Create|netlink.Excl|netlink.Acknowledge,
			append(nfgen(unix.NFPROTO_INET, 0), attributes...)),
		message(unix.NFNL_MSG_BATCH_END, 0, nfgen(0, unix.NFNL_SUBSYS_NFTABLES)),
	}); err != nil {
		return err
	}
	_, err = p.raw.Receive() // the acknowledgement, or the error
	return err
}

// flush sends what is buffered as one transaction. p.mu is held, or p is new.
func (p *PacketTable) flush() error {
	if err := p.raw.SetDeadline(time.Now().Add(tableWithin)); err != nil {
		return err
	}
	return p.conn.Flush()
}

// addRule adds a rule whose packets are counted.
func (p *PacketTable) addRule(match []expr.Any, verdict ...expr.Any) {
	p.conn.AddRule(&nftables.Rule{Table: p.table, Chain: p.chain, Exprs: append(append(match, &expr.Counter{}), verdict...)})
}

// direction says where the headers of a packet have the address of the table.
type direction struct {
	stream   string
	ip4, ip6 uint32 // offset of the address
	port     uint32 // offset of the port
}

var (
	toCallee = direction{stream: "upstream", ip4: 16, ip6: 24, port: 2}
	toCaller = direction{stream: "downstream", ip4: 12, ip6: 8, port: 0}
)

// is compares what the expression before it has loaded.
func is(value ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value} }

// tcpField loads a part of the TCP header.
func tcpField(offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: length}
}

// ofAddress matches TCP packets that have the table's address, and loads their port.
func (p *PacketTable) ofAddress(dir direction) []expr.Any {
	family, offset := byte(unix.NFPROTO_IPV4), dir.ip4
	if p.at.Addr().Is6() {
		family, offset = unix.NFPROTO_IPV6, dir.ip6
	}
	address := p.at.Addr().AsSlice()
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, is(family),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, is(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(address))}, is(address...),
		tcpField(dir.port, 2),
	}
}

// Count tells how many packets have been dropped, or connections refused; 0
// after Close.
func (p *PacketTable) Count() (n uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return 0, nil
	}
	if err := p.raw.SetDeadline(time.Now().Add(tableWithin)); err != nil {
		return 0, err
	}
	rules, err := p.conn.GetRules(p.table, p.chain)
	if err != nil {
		return 0, fmt.Errorf("read counters of table %s: %w", p.table.Name, err)
	}
	for _, rule := range rules {
		for _, e := range rule.Exprs {
			if c, is := e.(*expr.Counter); is {
				n += c.Packets
			}
		}
	}
	return n, nil
}

// Close ends it: with the socket goes the table. Idempotent.
func (p *PacketTable) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	sockets.Lock()
	defer sockets.Unlock()
	err := p.conn.CloseLasting()
	p.conn = nil
	return err
}
