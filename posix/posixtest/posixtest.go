// Package posixtest is the contract of posix.Namespace: what every body of it
// must do, whether it is the tree itself or a client far from it. A body is
// tested by one line:
//
//	posixtest.Run(t, func(t *testing.T) func(posix.Cred) posix.Namespace { … })
//
// The function makes an empty namespace whose root belongs to the superuser
// with mode 0755, and answers how a caller gets hold of it. All callers are
// of one session: a handle that one opened is good for all.
//
// It refuses to know a body's insides: what it can't see through the interface
// (durability, exactly-once, reclaiming) its body tests itself.
package posixtest

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/wardfs/wardfs/posix"
)

// Open makes an empty namespace.
type Open func(*testing.T) func(posix.Cred) posix.Namespace

// The callers of the suite. alice and bob share group staff; eve is apart.
var (
	root  = posix.Cred{Super: true}
	alice = posix.Cred{UID: 1001, GID: 1001, Groups: []posix.GID{staff}}
	bob   = posix.Cred{UID: 1002, GID: 1002, Groups: []posix.GID{staff}}
	eve   = posix.Cred{UID: 1003, GID: 1003}
)

const staff posix.GID = 50

// Run runs the whole suite, each test in a namespace of its own.
func Run(t *testing.T, open Open) {
	for _, s := range []struct {
		name string
		test func(*env)
	}{
		{"Make", testMake},
		{"MakeErrors", testMakeErrors},
		{"FreshOwner", testFreshOwner},
		{"Lookup", testLookup},
		{"Link", testLink},
		{"Unlink", testUnlink},
		{"Rmdir", testRmdir},
		{"Removed", testRemoved},
		{"Rename", testRename},
		{"RenameErrors", testRenameErrors},
		{"RenameExchange", testRenameExchange},
		{"RenamePermission", testRenamePermission},
		{"Sticky", testSticky},
		{"EntryPermission", testEntryPermission},
		{"Access", testAccess},
		{"Chmod", testChmod},
		{"Chown", testChown},
		{"ChownClears", testChownClears},
		{"Utimens", testUtimens},
		{"Truncate", testTruncate},
		{"SetSizeErrors", testSetSizeErrors},
		{"KillPriv", testKillPriv},
		{"Times", testTimes},
		{"Open", testOpen},
		{"OpenErrors", testOpenErrors},
		{"Create", testCreate},
		{"OpenUnlinked", testOpenUnlinked},
		{"Handles", testHandles},
		{"Commit", testCommit},
		{"CommitErrors", testCommitErrors},
		{"CommitAppend", testCommitAppend},
		{"Layout", testLayout},
		{"OpenAgain", testOpenAgain},
		{"Tmpfile", testTmpfile},
		{"TmpfileErrors", testTmpfileErrors},
		{"Allocate", testAllocate},
		{"AllocateErrors", testAllocateErrors},
		{"CopyRange", testCopyRange},
		{"CopyRangeErrors", testCopyRangeErrors},
		{"CopyRangeRandom", testCopyRangeRandom},
		{"RemovedDirectory", testRemovedDirectory},
		{"Readdir", testReaddir},
		{"ReaddirChanging", testReaddirChanging},
		{"ReaddirPermission", testReaddirPermission},
		{"Xattr", testXattr},
		{"XattrErrors", testXattrErrors},
		{"XattrPermission", testXattrPermission},
		{"XattrCaps", testXattrCaps},
		{"Statfs", testStatfs},
		{"Stale", testStale},
		{"Cancelled", testCancelled},
		{"RaceCreate", testRaceCreate},
		{"RaceRename", testRaceRename},
		{"RaceUnlinkOpen", testRaceUnlinkOpen},
		{"RaceLinks", testRaceLinks},
		{"Random", testRandom},
	} {
		t.Run(s.name, func(t *testing.T) { s.test(newEnv(t, open)) })
	}
}

// env is one test's namespace, and words to act in it briefly.
type env struct {
	*testing.T
	as    func(posix.Cred) posix.Namespace
	root  posix.Namespace
	ctx   context.Context
	last  *atomic.Uint64 // handle
	slice *atomic.Uint64
}

func newEnv(t *testing.T, open Open) *env {
	as := open(t)
	return &env{t, as, as(root), t.Context(), &atomic.Uint64{}, &atomic.Uint64{}}
}

// ok ends the test unless err is nil.
func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// no expects the errno, and that it is in a *posix.Error that names its op.
func (e *env) no(what string, want posix.Errno, err error) {
	e.Helper()
	if got := posix.ErrnoOf(err); got != want || err == nil {
		e.Errorf("%s: %v, want %v", what, err, want)
		return
	}
	if pe := (*posix.Error)(nil); !errors.As(err, &pe) || pe.Op == "" {
		e.Errorf("%s: %#v is no *posix.Error with an op", what, err)
	}
}

// either is no for an errno, ok for 0.
func (e *env) either(what string, want posix.Errno, err error) {
	e.Helper()
	if want != 0 {
		e.no(what, want, err)
	} else if err != nil {
		e.Errorf("%s: %v, want success", what, err)
	}
}

func (e *env) is(what string, got, want any) {
	e.Helper()
	if got != want {
		e.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (e *env) handle() posix.Handle { return posix.Handle(e.last.Add(1)) }

// mkdir, mkfile and the like make things as the superuser, with a mode that
// no umask touches, and fail the test if they can't.
func (e *env) mkdir(dir posix.Ino, name string, mode posix.Mode) posix.Ino {
	e.Helper()
	a, err := e.root.Mkdir(e.ctx, dir, name, mode&(0o777|posix.Sticky), 0)
	e.ok(err)
	if mode&posix.SetGID != 0 {
		e.chmod(a.Ino, mode)
	}
	return a.Ino
}

func (e *env) mkfile(dir posix.Ino, name string, mode posix.Mode) posix.Ino {
	e.Helper()
	a, err := e.root.Mknod(e.ctx, dir, name, mode, 0, 0)
	e.ok(err)
	return a.Ino
}

// owned gives ino to c, and its mode back, which chown may have cleared.
func (e *env) owned(ino posix.Ino, c posix.Cred, g posix.GID) posix.Ino {
	e.Helper()
	mode := e.attr(ino).Mode
	_, err := e.root.Setattr(e.ctx, ino, posix.SetAttr{Set: posix.SetOwner | posix.SetGroup, UID: c.UID, GID: g})
	e.ok(err)
	if !mode.IsLink() {
		e.chmod(ino, mode)
	}
	return ino
}

func (e *env) chmod(ino posix.Ino, mode posix.Mode) {
	e.Helper()
	_, err := e.root.Setattr(e.ctx, ino, posix.SetAttr{Set: posix.SetMode, Mode: mode.Perm()})
	e.ok(err)
}

func (e *env) attr(ino posix.Ino) posix.Attr {
	e.Helper()
	a, err := e.root.Getattr(e.ctx, ino)
	e.ok(err)
	return a
}

// at is the inode that a name names, 0 for none.
func (e *env) at(dir posix.Ino, name string) posix.Ino {
	e.Helper()
	a, err := e.root.Lookup(e.ctx, dir, name)
	if errors.Is(err, posix.ENOENT) {
		return 0
	}
	e.ok(err)
	return a.Ino
}

// open opens as the superuser.
func (e *env) open(ino posix.Ino, flags posix.OpenFlags) posix.Handle {
	e.Helper()
	h := e.handle()
	_, err := e.root.Open(e.ctx, ino, h, flags)
	e.ok(err)
	return h
}

// fresh is a slice of n bytes for a file; its blocks are nowhere.
func (e *env) fresh(ino posix.Ino, n uint32) posix.Slice {
	s := posix.Slice{File: ino, Len: n}
	s.ID[0] = 0x51
	binary.BigEndian.PutUint64(s.ID[8:], e.slice.Add(1))
	return s
}

// write commits n fresh bytes at off and answers the extent.
func (e *env) write(h posix.Handle, ino posix.Ino, off uint64, n uint32) posix.Extent {
	e.Helper()
	x := posix.Extent{Off: off, Len: n, Slice: e.fresh(ino, n)}
	_, err := e.root.Commit(e.ctx, h, posix.Commit{Extents: []posix.Extent{x}})
	e.ok(err)
	return x
}

func (e *env) truncate(ino posix.Ino, size uint64) posix.Attr {
	e.Helper()
	a, err := e.root.Setattr(e.ctx, ino, posix.SetAttr{Set: posix.SetSize, Size: size})
	e.ok(err)
	return a
}

// layout reads the whole layout of what h has open.
func (e *env) layout(h posix.Handle) posix.Map {
	e.Helper()
	var m posix.Map
	for off := uint64(0); off < posix.FileSizeMax; {
		part, end, err := e.root.Layout(e.ctx, h, off, posix.FileSizeMax-off)
		e.ok(err)
		if end <= off {
			e.Fatalf("layout from %d ends at %d", off, end)
		}
		m, off = append(m, part...), end
	}
	return m
}

// list reads a whole directory, n entries at a time, without the dots.
func (e *env) list(dir posix.Ino, n int) map[string]posix.Ino {
	e.Helper()
	got := map[string]posix.Ino{}
	for from := posix.Cookie(0); ; {
		ents, err := e.root.Readdir(e.ctx, dir, 0, from, n, false)
		e.ok(err)
		if len(ents) == 0 {
			delete(got, ".")
			delete(got, "..")
			return got
		}
		for _, d := range ents {
			if _, twice := got[d.Name]; twice {
				e.Fatalf("readdir: %q twice", d.Name)
			}
			got[d.Name] = d.Attr.Ino
			from = d.Next
		}
	}
}
