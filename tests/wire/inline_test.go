package wire

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/server/chunk"
)

// A small write needs the commit alone, is read from where it lies, on other
// mounts and after a restart, and comes to the chunk store by itself.
func TestSmallWrite(t *testing.T) {
	h := newHouse(t)
	a := h.connect()
	data := bytes.Repeat([]byte("small "), 1000)
	ino := made(t, a, "f", data)
	if n := a.Status().Files.Uploads; n != 0 {
		t.Errorf("%d blocks were put", n)
	}
	read := func(what string) posix.Extent {
		t.Helper()
		b := h.connect() // one that has nothing yet
		f, _, err := b.Files().Open(t.Context(), b.As(root), ino, posix.OpenRead)
		must(t, err)
		same(t, what, f, data)
		must(t, f.Close(t.Context()))
		const hd = posix.Handle(1) << 40
		o, err := b.As(root).Open(t.Context(), ino, hd, posix.OpenRead)
		must(t, err)
		must(t, b.As(root).Close(t.Context(), hd))
		return o.Extents[0]
	}
	e := read("at once")
	h.stop()
	h.start()
	read("after a restart")
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		info, err := h.blocks.Stat(t.Context(), e.Slice.BlockID(0))
		if err == nil && info.Size == uint32(len(data)) {
			break
		}
		if !errors.Is(err, chunk.ErrNotFound) || time.Since(start) > time.Minute {
			t.Fatal("not moved to the chunk store:", info, err)
		}
	}
	read("once moved")
}

// What a commit brought can't be changed by a put of its name, before, beside
// or after it, nor by another commit; and it is no way into another file.
func TestInlineIsImmutable(t *testing.T) {
	h := newHouse(t)
	p := newPeer(h, trustedHello())
	if p.w.GetInlineMax() != posix.InlineMax {
		t.Errorf("the server lets commits bring %d bytes", p.w.GetInlineMax())
	}
	super := &proto.Cred{Super: true}
	create := func(name string, hd uint64) *proto.Opened {
		r := p.call(&proto.Call{Epoch: 1, Cred: super, Op: &proto.Call_Create{Create: &proto.Create{
			Dir: 1, Name: []byte(name), Mode: 0o600, Handle: hd, Flags: uint32(posix.OpenRead | posix.OpenWrite)}}})
		must(t, proto.Failure("create", r.GetErrno(), r.GetMessage()))
		return r.GetOpened()
	}
	a, b := create("a", 1), create("b", 2)
	store := store(h)
	id := func(i byte) posix.BlockID {
		return posix.BlockID{File: posix.Ino(a.Attr.Ino), Slice: posix.SliceID{i}}
	}
	commit := func(hd uint64, id posix.BlockID, data string) posix.Errno {
		return p.errno(p.call(&proto.Call{Epoch: 1, Cred: super, Op: &proto.Call_Commit{Commit: proto.ToCommit(posix.Handle(hd), posix.Commit{
			Extents: []posix.Extent{{Len: uint32(len(data)), Slice: posix.Slice{File: id.File, ID: id.Slice, Len: uint32(len(data))}}},
			Inline:  []posix.Inline{{Slice: id.Slice, Data: []byte(data)}},
		})}}))
	}
	must(t, store.Put(t.Context(), a.Capability, id(1), []byte("put before")))
	for _, c := range []struct {
		name string
		want posix.Errno
		got  posix.Errno
	}{
		{"other bytes than were put before", posix.EINVAL, commit(1, id(1), "brought ..")},
		{"the bytes that were put before", 0, commit(1, id(1), "put before")},
		{"fresh bytes", 0, commit(1, id(2), "brought it")},
		{"fresh bytes, sent again without a slot", posix.EINVAL, commit(1, id(2), "brought it")},
		{"other bytes, then", posix.EINVAL, commit(1, id(2), "rewrote it")},
		{"through another file's handle", posix.EINVAL, commit(2, id(3), "brought it")},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	// The chunk store may take these bytes, or have the right ones already.
	if err := store.Put(t.Context(), a.Capability, id(2), []byte("changed it")); err != nil && posix.ErrnoOf(err) != posix.EEXIST {
		t.Error(err)
	}
	got := make([]byte, 10)
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		must(t, store.Get(t.Context(), a.Capability, id(2), 0, got))
		if string(got) != "brought it" {
			t.Fatalf("read %q", got)
		}
		if err := h.blocks.Get(t.Context(), id(2), 0, got); err == nil && string(got) == "brought it" {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("the chunk store has %q", got)
		}
	}
	must(t, store.Get(t.Context(), a.Capability, id(2), 0, got))
	if string(got) != "brought it" {
		t.Errorf("read %q", got)
	}
	if err := store.Get(t.Context(), b.Capability, id(2), 0, got); posix.ErrnoOf(err) != posix.EACCES {
		t.Errorf("with another file's capability: %v", err)
	}
}
