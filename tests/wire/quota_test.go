package wire

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// Quotas are the superuser's, whoever asks and however.
func TestQuotaIsForSuperusers(t *testing.T) {
	h := newHouse(t)
	anybody(h)
	m := h.connect()
	dir := &proto.Quota{Kind: 1, Id: uint64(posix.RootIno), Bytes: 1}
	for who, q := range map[string]interface {
		try(t *testing.T) []error
	}{
		"a principal who says he is root": tries(func(t *testing.T) []error {
			q := h.simply("mallory").Quotas(root)
			_, list := q.List(t.Context())
			_, check := q.Check(t.Context(), false)
			_, repair := q.Check(t.Context(), true)
			return []error{list, check, repair, q.Set(t.Context(), dir), q.Remove(t.Context(), dir)}
		}),
		"a caller who is not": tries(func(t *testing.T) []error {
			q := m.Quotas(posix.Cred{UID: 1000})
			_, list := q.List(t.Context())
			return []error{list, q.Set(t.Context(), dir), q.Remove(t.Context(), dir)}
		}),
	} {
		for _, err := range q.try(t) {
			if posix.ErrnoOf(err) != posix.EPERM {
				t.Errorf("%s: %v", who, err)
			}
		}
	}
	for _, bad := range []*proto.Quota{nil, {Kind: 9, Id: 1}, {Kind: 257, Id: 1}, {Kind: 1}, {Kind: 2, Id: 1 << 40}, {Kind: 2, Id: posix.NamedFirst + 5}} {
		if err := m.Quotas(root).Set(t.Context(), bad); posix.ErrnoOf(err) != posix.EINVAL {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

type tries func(t *testing.T) []error

func (f tries) try(t *testing.T) []error { return f(t) }

// What was buffered and is too much is told at fsync; what fsync has
// acknowledged stays, more room lets the rest in, and blocks of what was
// refused are collected.
func TestDelayedWritesOverQuota(t *testing.T) {
	h := newHouse(t)
	var ahead atomic.Int64 // how far the server's clock is
	h.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	h.stop()
	h.start()
	m, ctx := h.connect(), t.Context()
	joe := posix.Cred{UID: 12345, GID: 12345}
	_, err := m.As(root).Setattr(ctx, posix.RootIno, posix.SetAttr{Set: posix.SetMode, Mode: 0o777})
	must(t, err)
	limit := &proto.Quota{Kind: 2, Id: 12345, Bytes: 1 << 20}
	must(t, m.Quotas(root).Set(ctx, limit))

	f, a, err := m.Files().Create(ctx, m.As(joe), posix.RootIno, "f", 0o600, 0, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	want := make([]byte, 1<<20)
	for i := range want {
		want[i] = byte(i)
	}
	_, err = f.Write(ctx, want, 0)
	must(t, err)
	must(t, f.Sync(ctx))
	_, err = f.Write(ctx, want, 1<<20)
	must(t, err)
	if err := f.Sync(ctx); posix.ErrnoOf(err) != posix.EDQUOT {
		t.Errorf("fsync of too much: %v", err)
	}
	other := h.connect()
	reader, _, err := other.Files().Open(ctx, other.As(joe), a.Ino, posix.OpenRead)
	must(t, err)
	same(t, "what was acknowledged", reader, want)
	must(t, reader.Close(ctx))

	limit.Bytes = 2 << 20
	must(t, m.Quotas(root).Set(ctx, limit))
	must(t, f.Sync(ctx))
	all, err := m.Quotas(root).List(ctx)
	must(t, err)
	if len(all) != 1 || all[0].GetUsedBytes() != 2<<20 || all[0].GetUsedInodes() != 1 {
		t.Errorf("%v", all)
	}
	_, err = f.Write(ctx, want, 2<<20)
	must(t, err)
	if err := f.Close(ctx); posix.ErrnoOf(err) != posix.EDQUOT {
		t.Errorf("close with too much: %v", err)
	}
	must(t, m.As(root).Unlink(ctx, posix.RootIno, "f"))
	ahead.Store(int64(2 * time.Hour))
	for h.stored() > 2<<20 { // the file itself may be kept for a while
		if _, err := h.srv.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if ctx.Err() != nil {
			t.Fatal("blocks that nobody names are left")
		}
	}
}

// Who writes over his own bytes is not told that there is no room, however much
// of what was there is stored still: it is compacted when that is in his way.
func TestOverwritingWithinAQuota(t *testing.T) {
	h := newHouse(t)
	m, ctx := h.connect(), t.Context()
	joe := posix.Cred{UID: 12345, GID: 12345}
	_, err := m.As(root).Setattr(ctx, posix.RootIno, posix.SetAttr{Set: posix.SetMode, Mode: 0o777})
	must(t, err)
	const limit = 1 << 20
	must(t, m.Quotas(root).Set(ctx, &proto.Quota{Kind: 2, Id: 12345, Bytes: limit}))
	f, _, err := m.Files().Create(ctx, m.As(joe), posix.RootIno, "f", 0o600, 0, posix.OpenRead|posix.OpenWrite)
	must(t, err)
	want := make([]byte, limit)
	for round := range 12 { // each leaves the last 8 KiB of the one before
		n := limit - round*8<<10
		for i := range want[:n] {
			want[i] = byte(round)
		}
		_, err := f.Write(ctx, want[:n], 0)
		must(t, err)
		must(t, f.Sync(ctx))
	}
	same(t, "all of it", f, want)
	must(t, f.Close(ctx))
	all, err := m.Quotas(root).List(ctx)
	must(t, err)
	if len(all) != 1 || all[0].GetUsedBytes() != limit {
		t.Errorf("%v", all)
	}
}

// A block that is far longer than the slice it is said to be takes room that
// nobody is charged for: it can be put, and no commit takes it.
func TestCommitOfFatBlocks(t *testing.T) {
	h := newHouse(t)
	p := newPeer(h, trustedHello())
	r := p.call(&proto.Call{Epoch: 1, Cred: &proto.Cred{Super: true}, Op: &proto.Call_Create{Create: &proto.Create{
		Dir: 1, Name: []byte("f"), Mode: 0o600, Handle: 1, Flags: uint32(posix.OpenWrite)}}})
	if p.errno(r) != 0 {
		t.Fatal(r)
	}
	st := dialLane(h)
	slice := bytes.Repeat([]byte{9}, 16)
	if e := frame(t, st, &proto.BlockHeader{Op: proto.BlockHeader_PUT, Capability: r.Opened.Capability, File: r.Opened.Attr.Ino, Slice: slice}, make([]byte, 1<<20)); e != 0 {
		t.Fatal(e)
	}
	commit := func(inline []*proto.Inline) posix.Errno {
		return p.errno(p.call(&proto.Call{Epoch: 1, Cred: &proto.Cred{Super: true}, Op: &proto.Call_Commit{Commit: &proto.Commit{
			Handle: 1, Extents: []*proto.Extent{{Len: 1, File: r.Opened.Attr.Ino, Slice: slice, SliceLen: 1}}, Inline: inline}}}))
	}
	if e := commit(nil); e != posix.EINVAL {
		t.Errorf("a byte of a MiB: %v", e)
	}
	if e := commit([]*proto.Inline{{Slice: slice, Data: make([]byte, 60<<10)}}); e != posix.EINVAL {
		t.Errorf("a byte of 60 KiB, inline: %v", e)
	}
}
