package acl

import (
	"encoding/binary"
	"fmt"

	"github.com/wardfs/wardfs/posix"
)

// The extended attributes in which programs see ACLs. They bear the binary form
// below, with the ids of whoever reads them.
const (
	XattrAccess  = "system.posix_acl_access"
	XattrDefault = "system.posix_acl_default"
)

// The binary form is Linux's, version 2 (linux/posix_acl_xattr.h), all numbers
// little-endian:
//
//	0  version  4 bytes, 2
//	4  entry    8 bytes each, in canonical order
//	    +0  tag   2 bytes
//	    +2  perm  2 bytes, 0 to 7
//	    +4  id    4 bytes; of entries without one all bits are set
//
// A minimal ACL takes 28 bytes, one with a named user 44.
const (
	version    = 2
	headerSize = 4
	entrySize  = 8
)

// EncodeXattr is the value of the extended attribute for l; for nil it is
// nil, which as a value takes the ACL away.
func EncodeXattr(l ACL) []byte {
	if l == nil {
		return nil
	}
	b := make([]byte, 0, headerSize+entrySize*len(l))
	b = binary.LittleEndian.AppendUint32(b, version)
	for _, e := range l {
		id := e.ID
		if !e.Tag.named() {
			id = noID
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Tag))
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Perm))
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return b
}

// DecodeXattr reads the value of the extended attribute. No bytes, and a header
// without entries, are nil: the ACL is to be taken away. Another version
// is EOPNOTSUPP, more bytes than an attribute can have E2BIG, all else that is
// wrong EINVAL, as Linux answers.
//
// Users and groups may come in any order of their ids, since whoever mapped the
// ids could not keep it; they are sorted here. The ids of entries that have
// none are ignored. So what was decoded encodes to the same bytes, but for these
// two; what [EncodeXattr] made, to the same bytes.
func DecodeXattr(b []byte) (ACL, error) {
	switch {
	case len(b) == 0:
		return nil, nil
	case len(b) > posix.XattrMax:
		return nil, posix.E("acl", posix.E2BIG, fmt.Errorf("%d bytes", len(b)))
	case len(b) < headerSize:
		return nil, invalid("%d bytes are no ACL", len(b))
	}
	if v := binary.LittleEndian.Uint32(b); v != version {
		return nil, posix.E("acl", posix.EOPNOTSUPP, fmt.Errorf("version %d", v))
	}
	b = b[headerSize:]
	if len(b)%entrySize != 0 {
		return nil, invalid("%d bytes are no whole entries", len(b))
	}
	if len(b) == 0 {
		return nil, nil
	}
	l, err := decodeEntries(b)
	if err != nil {
		return nil, err
	}
	l = l.Sort()
	if err := l.Valid(); err != nil {
		return nil, err
	}
	return l, nil
}

// decodeEntries reads the entries of b, whose tags must be in order.
func decodeEntries(b []byte) (ACL, error) {
	l := make(ACL, 0, len(b)/entrySize)
	for ; len(b) > 0; b = b[entrySize:] {
		tag, perm := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
		if perm > uint16(rwx) { // before it is cut to the eight bits of Perm
			return nil, invalid("unknown permission %#o", perm)
		}
		e := Entry{Tag(tag), posix.Perm(perm), binary.LittleEndian.Uint32(b[4:])}
		if n := len(l); n > 0 && l[n-1].Tag > e.Tag {
			return nil, invalid("tag %#x out of order", tag)
		}
		l = append(l, e)
	}
	return l, nil
}

// Key is the same for equal lists and differs for others: what a store that
// keeps equal ACLs once keeps them under. It is the binary form, so that it is
// also what to keep, and [DecodeXattr] reads it. Nil has the empty key.
func (l ACL) Key() string { return string(EncodeXattr(l)) }
