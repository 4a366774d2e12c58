package namespace

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

var update = flag.Bool("update", false, "write the golden records anew")

// record is anything that is stored, with its decoder.
type record struct {
	name   string
	bytes  []byte
	decode func([]byte) ([]byte, error) // and encodes again
}

func again[T interface{ encode() []byte }](decode func([]byte) (T, error)) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := decode(b)
		if err != nil {
			return nil, err
		}
		return v.encode(), nil
	}
}

var (
	inodeAgain = again(func(b []byte) (*inode, error) { return decodeInode(7, b) })
	entryAgain = again(decodeEntry)
	refAgain   = again(decodeRef)
	freedAgain = again(decodeFreed)
	replyAgain = again(decodeReply)
	listAgain  = func(b []byte) ([]byte, error) {
		l, err := decodeACL(7, b)
		return encodeACL(l), err
	}
	namedAgain = func(b []byte) ([]byte, error) {
		n, err := decodeNamed(b)
		return encodeNamed(n), err
	}
	usageAgain = func(b []byte) ([]byte, error) {
		u, err := decodeUsage(b)
		return encodeUsage(u), err
	}
	extentAgain = func(b []byte) ([]byte, error) {
		e, err := decodeExtent(1<<20, b)
		return encodeExtent(e), err
	}
)

func records() []record {
	id := posix.SliceID{0: 0xa0, 15: 0xaf}
	file := &inode{}
	file.Attr = posix.Attr{
		Ino: 7, Gen: 0x12345678, Mode: posix.TypeReg | 0o644, Nlink: 1, UID: 1000, GID: 1000, Size: 4 << 20, Alloc: 4 << 20,
		Change: 300, Atime: posix.Time{Sec: 1800000000, Nsec: 1}, Mtime: posix.Time{Sec: 1800000001, Nsec: 999999999},
		Ctime: posix.Time{Sec: 1800000001, Nsec: 999999999}, Btime: posix.Time{Sec: 1800000000},
	}
	dir := &inode{parent: 1, acl: 9, defACL: 10}
	dir.Mode, dir.Nlink, dir.Atime.Sec = posix.TypeDir|0o755, 2, -1
	link := &inode{target: "../a target"}
	link.Mode, link.Nlink, link.Size = posix.TypeLink|0o777, 1, 11
	dev := &inode{caps: true}
	dev.Mode, dev.Rdev, dev.Nlink = posix.TypeBlock|0o600, 0xfff00, 1
	share := &inode{origins: []posix.Ino{3, 300}}
	share.Mode, share.Nlink = posix.TypeReg|0o644, 1
	named := &inode{Attr: file.Attr, parent: 300, place: 1<<hashBits - 1}
	tagged := &inode{Attr: file.Attr, parent: 300, place: 1<<hashBits - 1, quota: 299, counted: true}
	worn := &inode{Attr: file.Attr, quota: 299, dead: 1 << 20}
	tmp := &inode{tmp: true}
	tmp.Mode = posix.TypeReg | 0o600
	most := &inode{parent: math.MaxUint64, acl: math.MaxUint32, defACL: math.MaxUint32, target: "t", caps: true}
	most.Attr = posix.Attr{
		Gen: math.MaxUint64, Mode: math.MaxUint32, Nlink: math.MaxUint32, UID: math.MaxUint32, GID: math.MaxUint32,
		Rdev: math.MaxUint32, Size: math.MaxUint64, Alloc: math.MaxUint64, Change: math.MaxUint64,
		Atime: posix.Time{Sec: math.MinInt64, Nsec: 999999999}, Mtime: posix.Time{Sec: math.MaxInt64},
	}
	more := &inode{Attr: most.Attr, parent: most.parent, acl: most.acl, defACL: most.defACL, tmp: true, origins: []posix.Ino{1, math.MaxUint64}, place: math.MaxUint64}
	x := posix.Extent{Off: 1<<20 - 4096, Len: 4096, From: 100, Slice: posix.Slice{File: 7, ID: id, Len: 1 << 20}}
	return []record{
		{"inode of a file", file.encode(), inodeAgain},
		{"inode of a directory with ACLs", dir.encode(), inodeAgain},
		{"inode of a link", link.encode(), inodeAgain},
		{"inode of a device with capabilities", dev.encode(), inodeAgain},
		{"inode of a file that shares", share.encode(), inodeAgain},
		{"inode of a file without a name", tmp.encode(), inodeAgain},
		{"inode of a file that knows its place", named.encode(), inodeAgain},
		{"inode that counts for quotas", tagged.encode(), inodeAgain},
		{"inode of a file that is worn", worn.encode(), inodeAgain},
		{"quota", rule{limit: Usage{1 << 40, 1000}, up: 300, live: true}.encode(), again(decodeRule)},
		{"quota that was taken away", rule{up: 300}.encode(), again(decodeRule)},
		{"usage", encodeUsage(Usage{4 << 20, 300}), usageAgain},
		{"inode of nothing", (&inode{}).encode(), inodeAgain},
		{"inode of the most", most.encode(), inodeAgain},
		{"inode of the most, with origins", more.encode(), inodeAgain},
		{"entry", entry{ino: 300, typ: posix.TypeDir}.encode(), entryAgain},
		{"extent", encodeExtent(x), extentAgain},
		{"ref that knows what its file covers", ref{count: 2, len: 1 << 20, own: 300, kept: true}.encode(), refAgain},
		{"ref", ref{count: 2, len: 1 << 20}.encode(), refAgain},
		{"freed", freed{len: 1 << 20}.encode(), freedAgain},
		{"freed with its time", freed{len: 1 << 20, at: 1800000000}.encode(), freedAgain},
		{"reply", reply{op: opMkdir, seq: 1 << 40, ino: 300}.encode(), replyAgain},
		{"reply of a copy", reply{op: opCopyRange, seq: 2, ino: 300, bytes: 1 << 30}.encode(), replyAgain},
		{"ACL", encodeACL(someACL()), listAgain},
		{"number of an ACL", encodeNamed(300), namedAgain},
		{"reply without an inode", reply{op: opUnlink, seq: 1}.encode(), replyAgain},
	}
}

// TestGolden holds what is on disks fast: a difference is a new format.
func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, r := range records() {
		fmt.Fprintf(&b, "%s\n\t%s\n", r.name, hex.EncodeToString(r.bytes))
	}
	id := posix.Slice{File: 7, ID: posix.SliceID{0: 0xa0, 15: 0xaf}}
	for _, k := range []struct {
		name string
		key  []byte
	}{
		{"key of an inode", inodeKey(7)}, {"key of an entry", entryKey(1, 0x123, "name")}, {"key of an xattr", xattrKey(7, "user.a")},
		{"key of an extent", extentKey(7, 1<<20)}, {"key of a ref", sliceKey(keyRef, id)}, {"key of a freed slice", sliceKey(keyFreed, id)},
		{"key of an orphan", orphanKey(7)}, {"key of a link", linkKey(7, 300, 0x123)}, {"key of a quota", quotaKey(QuotaID{QuotaUser, 1000})}, {"key of a usage", usageKey(QuotaID{QuotaDir, 300}, 63)},
		{"key of a directory to tag", retagKey(300)}, {"key of a reply", replyKey(3, 4)}, {"key of a stripe", filesKey(130)},
		{"key of an ACL", listKey(300)}, {"key of an ACL's sum", listSumKey(someACL())}, {"key of an ACL's uses", listUsesKey(300, 130)},
		{"hash of a name", entriesFrom(1, hashName(1, 2)("name"))},
	} {
		fmt.Fprintf(&b, "%s\n\t%s\n", k.name, hex.EncodeToString(k.key))
	}
	path := filepath.Join("testdata", "records.txt")
	if *update {
		ok(t, os.MkdirAll("testdata", 0o755))
		ok(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	ok(t, err)
	if b.String() != string(want) {
		t.Errorf("records are not what they were:\n%s", b.String())
	}
}

func TestRecords(t *testing.T) {
	for _, r := range records() {
		got, err := r.decode(r.bytes)
		if err != nil || !bytes.Equal(got, r.bytes) {
			t.Errorf("%s: %x %v, want %x", r.name, got, err, r.bytes)
		}
		for i := range r.bytes { // no part of one is one, but for a shorter target
			if _, err := r.decode(r.bytes[:i]); err == nil && !strings.Contains(r.name, "link") {
				t.Errorf("%s: %x of %x decodes", r.name, r.bytes[:i], r.bytes)
			}
		}
		if _, err := r.decode(append(r.bytes[:len(r.bytes):len(r.bytes)], 0)); err == nil && !strings.Contains(r.name, "link") && r.name != "inode of the most" {
			t.Errorf("%s: decodes with a byte more", r.name)
		}
		for _, v := range []byte{0, freedVersion + 1, 0xff} {
			b := append([]byte{v}, r.bytes[1:]...)
			if _, err := r.decode(b); err == nil {
				t.Errorf("%s: version %d decodes", r.name, v)
			}
		}
	}
	n, err := decodeInode(7, records()[0].bytes)
	ok(t, err)
	if n.Ino != 7 || n.Gen != 0x12345678 || n.Mtime.Nsec != 999999999 || n.Size != 4<<20 {
		t.Errorf("%+v", n)
	}
}

// ascending is the numbers from 1 to n, each of one byte, in hexadecimal.
func ascending(n int) (s string) {
	for i := range n {
		s += fmt.Sprintf("%02x", i+1)
	}
	return s
}

func TestRecordsRefused(t *testing.T) {
	for _, c := range []struct{ name, hex string }{
		{"a flag of the future", "018002" + strings.Repeat("00", 16)},
		{"origins that are none", "0140" + strings.Repeat("00", 17)},
		{"origins out of order", "0140" + strings.Repeat("00", 16) + "020302"},
		{"one origin twice", "0140" + strings.Repeat("00", 16) + "020303"},
		{"inode 0 as an origin", "0140" + strings.Repeat("00", 16) + "0100"},
		{"too many origins", "0140" + strings.Repeat("00", 16) + "41" + ascending(65)},
		{"a flag without a value", "0101" + strings.Repeat("00", 17)},
		{"a number longer than need be", "01" + "8000" + strings.Repeat("00", 16)},
		{"a mode too big", "01" + "00" + "8080808010" + strings.Repeat("00", 15)},
		{"a second of nanoseconds", "01" + strings.Repeat("00", 9) + "00" + "8094ebdc03" + strings.Repeat("00", 6)},
	} {
		b, err := hex.DecodeString(c.hex)
		ok(t, err)
		if _, err := decodeInode(1, b); err == nil {
			t.Errorf("%s decodes", c.name)
		}
	}
	many, err := hex.DecodeString("0140" + strings.Repeat("00", 16) + "40" + ascending(64))
	ok(t, err)
	if n, err := decodeInode(1, many); err != nil || len(n.origins) != maxOrigins {
		t.Errorf("as many origins as can be: %v", err)
	}
	whole := make([]byte, 18)
	whole[0] = recordVersion
	if _, err := decodeInode(1, whole); err != nil {
		t.Errorf("the table's form of an inode: %v", err) // so that it refuses for the reason it names
	}
}

func FuzzRecords(f *testing.F) {
	for _, r := range records() {
		f.Add(r.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, decode := range []func([]byte) ([]byte, error){inodeAgain, entryAgain, extentAgain, refAgain, freedAgain, replyAgain, listAgain, namedAgain, again(decodeRule), usageAgain} {
			if got, err := decode(b); err == nil && !bytes.Equal(got, b) {
				t.Errorf("%x decodes, and encodes to %x", b, got)
			}
		}
	})
}
