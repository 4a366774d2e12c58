package namespace

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// upgrades[v] takes a namespace of format v to v+1, a step at a time: it
// changes what lies at or after from, and answers where to go on, nil at the
// end. One that is nil itself has nothing to do.
//
// The version is raised before the first step, so that no older wardfs opens
// what is half done; metaSteps says that it is, and how far. Each step moves it
// in the transaction of its changes: a crash repeats nothing and leaves nothing
// out.
var upgrades = [formatVersion]func(t *Tree, tx engine.Tx, from []byte) (next []byte, err error){
	1: nil,
	2: (*Tree).placeNames,
	3: nil,
	4: nil,
	5: nil,
}

// upgrade brings an older namespace to formatVersion, or ends what an earlier
// run of it began.
func (t *Tree) upgrade(ctx context.Context) error {
	for done := 0; ; done++ {
		var v uint64
		more := false
		err := t.eng.Update(ctx, func(tx engine.Tx) (err error) {
			if v, err = formatOf(tx); err != nil {
				return err
			}
			more, err = t.upgradeStep(tx, v)
			return err
		})
		if err != nil {
			return fmt.Errorf("upgrade from format %d: %w", v, err)
		}
		if !more {
			if done > 0 {
				t.log.Info("the namespace is upgraded", "format", formatVersion)
			}
			return nil
		}
		if done%256 == 0 {
			t.log.Info("upgrading the namespace", "to", formatVersion, "entries", done*t.step)
		}
	}
}

// upgradeStep begins or goes on with the way from one version to the next. No
// more means that the namespace was as it should be.
func (t *Tree) upgradeStep(tx engine.Tx, v uint64) (more bool, err error) {
	from, under, err := tx.Get(metaSteps)
	switch {
	case err != nil:
		return false, err
	case !under && v == formatVersion:
		return false, nil
	case !under:
		tx.Put(metaFormat, binary.AppendUvarint(nil, v+1))
		if upgrades[v] != nil {
			tx.Put(metaSteps, nil)
		}
		return true, nil
	}
	next, err := upgrades[v-1](t, tx, slices.Clone(from))
	if next == nil {
		tx.Delete(metaSteps)
	} else {
		tx.Put(metaSteps, next)
	}
	return true, err
}

// placeNames, from format 2 to 3, tells inodes where they are named. What is
// damaged stays as it is, for Fsck to tell.
func (t *Tree) placeNames(tx engine.Tx, from []byte) (next []byte, err error) {
	if len(from) == 0 {
		from = []byte{keyEntry}
	}
	x := txn{snap: snap{t: t, r: tx}, tx: tx}
	n := 0
	var bad error
	err = tx.Scan(from, []byte{keyEntry + 1}, func(k, v []byte) bool {
		if n++; n > t.step {
			next = slices.Clone(k)
			return false
		}
		if e, err := decodeEntry(v); err == nil && len(k) > entryName {
			bad = x.placeName(posix.Ino(first(k)), second(k), e.ino)
		}
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return next, err
}

func (x *txn) placeName(dir posix.Ino, hash uint64, ino posix.Ino) error {
	b, ok, err := x.r.Get(inodeKey(ino))
	if !ok || err != nil {
		return err
	}
	n, err := decodeInode(ino, b)
	if err != nil {
		return nil
	}
	if n.Nlink > 1 && !n.Mode.IsDir() {
		return x.countLink(ino, dir, hash, +1)
	}
	n.parent, n.place = dir, hash
	x.tx.Put(inodeKey(ino), n.encode())
	return nil
}
