package namespace

import (
	"context"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// A small write brings its bytes in its commit: the block becomes a record in
// the transaction that names it, so that one sync makes both durable. The
// record is the block until Outline has seen the same bytes into the chunk
// store, or the slice is freed and forgotten. Where both have a block, the
// record counts: what a client might put under its name later can't change
// what the commit made part of the file.

// checkInline answers EINVAL for blocks that c does not name, or names with
// other lengths, E2BIG for too many bytes. Of each extent the file is known to
// be the one that c is for.
func checkInline(c posix.Commit) error {
	total := 0
	for i, b := range c.Inline {
		total += len(b.Data)
		for _, other := range c.Inline[:i] {
			if other.Slice == b.Slice {
				return posix.EINVAL
			}
		}
		named := false
		for _, e := range c.Extents {
			if e.Hole() || e.Slice.ID != b.Slice {
				continue
			}
			fits := int(e.Slice.Len) <= len(b.Data) && len(b.Data) <= int(posix.SealedMax(e.Slice.Len))
			if named = e.Slice.Blocks() == 1 && fits; !named {
				return posix.EINVAL
			}
		}
		if !named {
			return posix.EINVAL
		}
	}
	if total > posix.InlineMax {
		return posix.E2BIG
	}
	return nil
}

// bring stores the blocks that a commit brings. Its extents are laid already,
// so the references of all its slices are known. A slice that was named before
// has a block, which never changes.
func (x *txn) bring(n *inode, blocks []posix.Inline) error {
	for _, b := range blocks {
		name := sliceName{n.Ino, b.Slice}
		if r := x.refs[name]; r == nil || r.was.count > 0 {
			return posix.EINVAL
		}
		x.tx.Put(name.key(keyInline), b.Data)
	}
	return nil
}

func (n sliceName) key(kind byte) []byte {
	return sliceKey(kind, posix.Slice{File: n.file, ID: n.id})
}

// Inline answers the block if it lies in the namespace.
func (t *Tree) Inline(ctx context.Context, id posix.BlockID) (data []byte, ok bool, err error) {
	if id.Index != 0 {
		return nil, false, nil
	}
	err = t.eng.View(ctx, func(r engine.Reader) error {
		b, there, err := r.Get(sliceName{id.File, id.Slice}.key(keyInline))
		data, ok = append([]byte(nil), b...), there
		return err
	})
	return data, ok, wrap("inline", err)
}

// InlineBlock is a block that lies in the namespace.
type InlineBlock struct {
	ID   posix.BlockID
	Data []byte
}

// Inlined answers some blocks that lie in the namespace, of about max bytes;
// none if there are none.
func (t *Tree) Inlined(ctx context.Context, max int) (list []InlineBlock, err error) {
	err = t.eng.View(ctx, func(r engine.Reader) error {
		return r.Scan([]byte{keyInline}, []byte{keyInline + 1}, func(k, v []byte) bool {
			n := nameIn(k)
			list = append(list, InlineBlock{posix.BlockID{File: n.file, Slice: n.id}, append([]byte(nil), v...)})
			max -= len(v)
			return max > 0
		})
	})
	return list, wrap("inlined", err)
}

// Outline forgets the blocks, which are durable in the chunk store by now.
func (t *Tree) Outline(ctx context.Context, list []InlineBlock) error {
	return wrap("outline", t.eng.Update(ctx, func(tx engine.Tx) error {
		for _, b := range list {
			tx.Delete(sliceName{b.ID.File, b.ID.Slice}.key(keyInline))
		}
		return nil
	}))
}
