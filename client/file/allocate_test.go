package file

import (
	"sync"
	"testing"

	"github.com/wardfs/wardfs/client/blockcache"
	"github.com/wardfs/wardfs/posix"
)

const punch = posix.AllocPunchHole | posix.AllocKeepSize

// TestPunchOnFullDisk: what can't be committed can be punched away, and the
// file stays as long as it was.
func TestPunchOnFullDisk(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	fault, on := failing("put", posix.E("put", posix.ENOSPC, nil))
	r.blocks.setFault(fault)
	r.write(h, []byte("0123456789"), 0)
	wantErrno(t, posix.ENOSPC, h.Sync(t.Context()))
	wantErrno(t, 0, h.Allocate(t.Context(), punch, 2, 100))
	want := []byte("01\x00\x00\x00\x00\x00\x00\x00\x00")
	r.reads(h, want, 0)
	a, err := r.Over(r.tree).Getattr(t.Context(), h.Ino())
	if err != nil || a.Size != 10 {
		t.Error(a.Size, err)
	}
	wantErrno(t, 0, h.Allocate(t.Context(), punch, 0, 2))
	wantErrno(t, 0, h.Sync(t.Context())) // nothing is left to store
	on.Store(false)
	r.close(h)
	r.stored(h.Ino(), make([]byte, 10))
}

// TestRefusedPunch drops nothing.
func TestRefusedPunch(t *testing.T) {
	r := newRig(t, Config{})
	h := r.create("f", readWrite)
	r.write(h, []byte("hello"), 0)
	r.tree.setFault(func(op string) error {
		if op == "allocate" {
			return posix.E(op, posix.EOPNOTSUPP, nil)
		}
		return nil
	})
	wantErrno(t, posix.EOPNOTSUPP, h.Allocate(t.Context(), punch, 0, 3))
	ro := r.open(h.Ino(), posix.OpenRead)
	wantErrno(t, posix.EBADF, ro.Allocate(t.Context(), 0, 0, 3))
	r.reads(ro, []byte("hello"), 0)
	r.close(ro)
	r.close(h)
	r.stored(h.Ino(), []byte("hello"))
}

// TestCopiesInBothDirections between the same two files, and within them, end.
func TestCopiesInBothDirections(t *testing.T) {
	r := newRig(t, Config{})
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	pairs := [][2]*Handle{{a, b}, {b, a}, {a, a}, {b, b}}
	var work sync.WaitGroup
	for k, p := range pairs {
		work.Go(func() {
			for n := range uint64(50) {
				r.write(p[0], []byte("hello"), n*10)
				if _, err := r.CopyRange(t.Context(), p[0], n*10, p[1], 1000*uint64(k+1), 5); err != nil {
					t.Error(err)
				}
				if k < 2 {
					wantErrno(t, 0, p[0].Sync(t.Context()))
				}
			}
		})
	}
	work.Wait()
	r.reads(a, []byte("hello"), 2000)
	r.reads(b, []byte("hello"), 1000)
	r.close(a)
	r.close(b)
}

// TestCopyNeedsItsSource: what can't be committed can't be copied, and the
// error is the copier's; a target that can't be committed is no hindrance.
func TestCopyNeedsItsSource(t *testing.T) {
	r := newRig(t, Config{})
	ctx := t.Context()
	a, b := r.create("a", readWrite), r.create("b", readWrite)
	r.write(a, []byte("hello"), 0)
	r.write(b, []byte("BBBBBBBB"), 0)
	wantErrno(t, 0, b.Sync(ctx))
	fault, on := failing("put", posix.E("put", posix.ENOSPC, nil))
	r.blocks.setFault(fault)
	_, err := r.CopyRange(ctx, a, 0, b, 0, 5)
	wantErrno(t, posix.ENOSPC, err)
	r.reads(b, []byte("BBBBBBBB"), 0)
	r.write(a, nil, 0)
	n, err := r.CopyRange(ctx, b, 0, a, 1, 3)
	if n != 3 || err != nil {
		t.Fatal(n, err)
	}
	r.reads(a, []byte("hBBBo"), 0)
	on.Store(false)
	ro := r.open(a.Ino(), posix.OpenRead)
	_, err = r.CopyRange(ctx, ro, 0, ro, 10, 3)
	wantErrno(t, posix.EBADF, err)
	r.close(ro)
	wantErrno(t, posix.ENOSPC, a.Sync(ctx)) // that it could not be committed then was not told by fsync yet
	r.close(a)
	r.stored(a.Ino(), []byte("hBBBo"))
	r.close(b)
}

// TestReadAfterCopy: the capability from before a copy does not open the blocks
// of the source; and where the layout is from before a file was cut off from
// those, a new one is asked for.
func TestReadAfterCopy(t *testing.T) {
	r := newRig(t, Config{})
	r.tree.right, r.blocks.valid = "one", "one"
	p := pattern(100 << 10)
	src, dst := r.create("src", readWrite), r.create("dst", readWrite)
	r.write(src, p, 0)
	if n, err := r.CopyRange(t.Context(), src, 0, dst, 0, uint64(len(p))); n != uint64(len(p)) || err != nil {
		t.Fatal(n, err)
	}
	r.tree.right, r.blocks.valid = "two", "two"
	r.reads(dst, p, 0)

	// Another client puts other bytes there, and the server takes the right to
	// src's blocks away.
	other := r.other()
	defer other.Shutdown(t.Context())
	h, _, err := other.Open(t.Context(), r.tree, dst.Ino(), readWrite)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = h.Write(t.Context(), p[1:], 0); err == nil {
		err = h.Close(t.Context())
	}
	wantErrno(t, 0, err)
	r.blocks.setFault(func(op string, id posix.BlockID) error {
		if op == "get" && id.File == src.Ino() {
			return posix.E(op, posix.EACCES, nil)
		}
		return nil
	})
	r.cache = blockcache.New(minMemory) // without the blocks
	r.reads(dst, p[1:], 0)
	r.close(src)
	r.close(dst)
}

// TestTmpfile is a file like any other.
func TestTmpfile(t *testing.T) {
	r := newRig(t, Config{})
	h, a, err := r.Tmpfile(t.Context(), r.tree, posix.RootIno, 0o600, 0, readWrite)
	if err != nil || a.Ino != h.Ino() {
		t.Fatal(a, err)
	}
	r.write(h, []byte("hello"), 0)
	wantErrno(t, 0, h.Sync(t.Context()))
	r.reads(h, []byte("hello"), 0)
	r.close(h)
}
