package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A rule is made of matches and a verdict. Each returns the expressions of
// nft(8)'s notation that its comment says.

type exprs = []expr.Any

// The registers that the matches use. They are 4 bytes wide and consecutive,
// so that a key of several parts is written part by part.
const firstRegister = unix.NFT_REG32_00

// family is what differs between IPv4 and IPv6.
type family struct {
	table   nftables.TableFamily
	bytes   uint32 // of an address
	source  uint32 // offset of the source address in the header
	target  uint32 // offset of the destination address
	address nftables.SetDatatype
	refusal uint8 // ICMP code "administratively prohibited"
}

var (
	family4 = family{nftables.TableFamilyIPv4, 4, 12, 16, nftables.TypeIPAddr, 13}
	family6 = family{nftables.TableFamilyIPv6, 16, 8, 24, nftables.TypeIP6Addr, 1}
)

// words is the number of registers that an address takes.
func (f family) words() uint32 { return f.bytes / 4 }

// maxTransaction is above what a full pool with every possible link takes, in
// bytes. The kernel takes memory only as it is needed.
const maxTransaction = 16 << 20

// transaction replaces tables whole: all of them, or nothing.
type transaction struct {
	conn *nftables.Conn
	err  error
}

// begin opens a transaction in the calling thread's namespace.
func begin() (*transaction, error) {
	// Lasting: the socket is opened here, on this thread, and not later.
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		// A transaction is one message, and each part of it is answered.
		return errors.Join(c.SetWriteBuffer(maxTransaction), c.SetReadBuffer(maxTransaction))
	}))
	if err != nil {
		return nil, &Error{Op: "open nftables socket", Err: err}
	}
	return &transaction{conn: conn}, nil
}

// commit applies the transaction.
func (t *transaction) commit() error {
	err := t.err
	if err == nil {
		err = t.conn.Flush()
	}
	if err := errors.Join(err, t.conn.CloseLasting()); err != nil {
		return &Error{Op: "apply nftables rules", Err: err}
	}
	return nil
}

// table begins a table that takes the place of one with the same name.
func (t *transaction) table(f nftables.TableFamily, name string) *nftables.Table {
	if t.exists(f, name) {
		t.remove(f, name)
	}
	return t.conn.AddTable(&nftables.Table{Family: f, Name: name})
}

// exists tells whether a table is there. Removing one costs the kernel several
// milliseconds, so it is asked for only then.
func (t *transaction) exists(f nftables.TableFamily, name string) bool {
	tables, err := t.conn.ListTablesOfFamily(f)
	if err != nil {
		t.err = errors.Join(t.err, fmt.Errorf("list tables: %w", err))
	}
	return slices.ContainsFunc(tables, func(table *nftables.Table) bool { return table.Name == name })
}

// remove removes a table. It is added first: one that someone else has removed
// by now would fail the whole.
func (t *transaction) remove(f nftables.TableFamily, name string) {
	table := t.conn.AddTable(&nftables.Table{Family: f, Name: name})
	t.conn.DelTable(table)
}

// chain adds a base chain.
func (t *transaction) chain(table *nftables.Table, name string, kind nftables.ChainType,
	hook *nftables.ChainHook, priority *nftables.ChainPriority, policy nftables.ChainPolicy,
) *nftables.Chain {
	return t.conn.AddChain(&nftables.Chain{
		Table: table, Name: name, Type: kind, Hooknum: hook, Priority: priority, Policy: &policy,
	})
}

// maxElements bounds a message: a list of elements has a 16 bit length.
const maxElements = 400

// keys are the elements of a set, each of them once: the kernel refuses what is
// there twice in a message.
type keys struct {
	elements []nftables.SetElement
	seen     map[string]bool
}

// add adds a key of one or more parts, each of which fills whole registers.
func (k *keys) add(parts ...[]byte) {
	var key []byte
	for _, part := range parts {
		key = append(key, part...)
		key = append(key, make([]byte, (4-len(part)%4)%4)...)
	}
	if k.seen == nil {
		k.seen = map[string]bool{}
	}
	if !k.seen[string(key)] {
		k.seen[string(key)] = true
		k.elements = append(k.elements, nftables.SetElement{Key: key})
	}
}

// set adds a set of keys.
func (t *transaction) set(table *nftables.Table, name string, keys keys, types ...nftables.SetDatatype) *nftables.Set {
	set := &nftables.Set{Table: table, Name: name, KeyType: types[0]}
	if len(types) > 1 {
		keyType, err := nftables.ConcatSetType(types...)
		t.err = errors.Join(t.err, err)
		set.KeyType, set.Concatenation = keyType, true
	}
	t.err = errors.Join(t.err, t.conn.AddSet(set, nil))
	for part := range slices.Chunk(keys.elements, maxElements) {
		t.err = errors.Join(t.err, t.conn.SetAddElements(set, part))
	}
	return set
}

// rule appends a rule to a chain.
func (t *transaction) rule(chain *nftables.Chain, parts ...exprs) {
	var all exprs
	for _, part := range parts {
		all = append(all, part...)
	}
	t.conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: all})
}

// equal compares what a load wrote from the first register on.
func equal(value []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: firstRegister, Data: value}
}

func unequal(value []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: firstRegister, Data: value}
}

// in looks what was loaded up in a set: "@set".
func in(set *nftables.Set) exprs {
	return exprs{&expr.Lookup{SourceRegister: firstRegister, SetName: set.Name, SetID: set.ID}}
}

// iifname: the interface that the packet came by.
func iifname(name string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: firstRegister}, equal(ifname(name))}
}

func notIifname(name string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: firstRegister}, unequal(ifname(name))}
}

// oifname: the interface that it goes by.
func oifname(name string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: firstRegister}, equal(ifname(name))}
}

func notOifname(name string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: firstRegister}, unequal(ifname(name))}
}

// ifname is an interface's name as the kernel compares it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// l4proto: "meta l4proto".
func l4proto(protocol byte) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: firstRegister}, equal([]byte{protocol})}
}

// dport: "th dport".
func dport(port uint16) exprs {
	return exprs{portAt(targetPort, firstRegister), equal(bigEndian(port))}
}

// The offsets of the ports in the header of TCP and of UDP.
const (
	sourcePort = 0
	targetPort = 2
)

// portAt loads a port of the header.
func portAt(offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2, DestRegister: register}
}

// addressAt loads an address of the header.
func (f family) addressAt(offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.bytes, DestRegister: register}
}

// addresses: "ip saddr . ip daddr", or the other way round.
func (f family) addresses(first, second uint32) exprs {
	return exprs{f.addressAt(first, firstRegister), f.addressAt(second, firstRegister+f.words())}
}

// daddr: "ip daddr".
func (f family) daddr(addr []byte) exprs {
	return exprs{f.addressAt(f.target, firstRegister), equal(addr)}
}

// prefixed matches when the address has the prefix's bits: "ip saddr 10.87.3.0/24".
func (f family) prefixed(offset uint32, addr, mask []byte, compare func([]byte) expr.Any) exprs {
	return exprs{
		f.addressAt(offset, firstRegister),
		&expr.Bitwise{
			SourceRegister: firstRegister, DestRegister: firstRegister, Len: f.bytes,
			Mask: mask, Xor: make([]byte, f.bytes),
		},
		compare(addr),
	}
}

// from and back: "ct direction original" and "ct direction reply". Packets that
// belong to no connection match neither.
func from() exprs { return ctDirection(0) }

func back() exprs { return ctDirection(1) }

func ctDirection(direction byte) exprs {
	return exprs{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: firstRegister}, equal([]byte{direction})}
}

// ctState matches when the connection's state is one of the bits of state.
func ctState(state uint32) exprs { return ctBits(expr.CtKeySTATE, state) }

// translated matches connections whose destination was translated: "ct status dnat".
func translated() exprs { return ctBits(expr.CtKeySTATUS, ctStatusDNAT) }

// ctStatusDNAT is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
const ctStatusDNAT = 1 << 5

func ctBits(key expr.CtKey, bits uint32) exprs {
	return exprs{
		&expr.Ct{Key: key, Register: firstRegister},
		&expr.Bitwise{
			SourceRegister: firstRegister, DestRegister: firstRegister, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, bits), Xor: make([]byte, 4),
		},
		unequal(make([]byte, 4)),
	}
}

// toLocal: "fib daddr type local", an address of this host.
func toLocal() exprs {
	return exprs{
		&expr.Fib{Register: firstRegister, FlagDADDR: true, ResultADDRTYPE: true},
		equal(binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)),
	}
}

// dnat: "dnat to address:port".
func dnat(addr []byte, port uint16) exprs {
	return exprs{
		&expr.Immediate{Register: firstRegister, Data: addr},
		&expr.Immediate{Register: firstRegister + 1, Data: bigEndian(port)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: firstRegister, RegProtoMin: firstRegister + 1},
	}
}

// snat: "snat to address".
func snat(addr []byte) exprs {
	return exprs{
		&expr.Immediate{Register: firstRegister, Data: addr},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: firstRegister},
	}
}

func masquerade() exprs { return exprs{&expr.Masq{}} }

func accept() exprs { return exprs{&expr.Verdict{Kind: expr.VerdictAccept}} }

func drop() exprs { return exprs{&expr.Verdict{Kind: expr.VerdictDrop}} }

func goTo(chain *nftables.Chain) exprs {
	return exprs{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain.Name}}
}

// reset: "reject with tcp reset".
func reset() exprs { return exprs{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}} }

// refuse: "reject with icmp admin-prohibited".
func (f family) refuse() exprs {
	return exprs{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: f.refusal}}
}

func bigEndian(port uint16) []byte { return binary.BigEndian.AppendUint16(nil, port) }
