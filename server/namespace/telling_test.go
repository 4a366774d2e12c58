package namespace

import (
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// A change of entries tells the directories as they are after it, also where
// the engine ran it twice; a repeat, a refusal and other changes tell nothing.
func TestTelling(t *testing.T) {
	tr := open(t, twice{mem.New()}, Config{})
	ctx := t.Context()
	var dirs []posix.Attr
	seq := uint64(0)
	v := func() View { return tr.As(super).In(1).Once(0, seq).Telling(&dirs) }
	d, err := tr.As(super).Mkdir(ctx, 1, "d", 0o755, 0)
	ok(t, err)
	tells := func(what string, want ...posix.Ino) {
		t.Helper()
		if len(dirs) != len(want) {
			t.Fatalf("%s tells %+v, want %v", what, dirs, want)
		}
		for i, ino := range want {
			if now, err := tr.As(super).Getattr(ctx, ino); err != nil || now != dirs[i] {
				t.Errorf("%s: %+v, want %+v %v", what, dirs[i], now, err)
			}
		}
		dirs, seq = nil, seq+1
	}
	seq = 1
	_, err = v().Create(ctx, d.Ino, "f", 0o644, 0, 1, posix.OpenWrite|posix.OpenExcl)
	ok(t, err)
	tells("create", d.Ino)
	seq--
	_, err = v().Create(ctx, d.Ino, "f", 0o644, 0, 1, posix.OpenWrite|posix.OpenExcl)
	ok(t, err)
	tells("its repeat")
	_, err = v().Mkdir(ctx, d.Ino, "e", 0o755, 0)
	ok(t, err)
	tells("mkdir", d.Ino)
	_, err = v().Mkdir(ctx, d.Ino, "e", 0o755, 0)
	no(t, posix.EEXIST, err)
	tells("a refusal")
	ok(t, v().Rename(ctx, d.Ino, "f", 1, "g", 0))
	tells("rename", d.Ino, 1)
	_, err = v().Setattr(ctx, d.Ino, posix.SetAttr{Set: posix.SetMode, Mode: 0o700})
	ok(t, err)
	tells("setattr")
	ok(t, v().Unlink(ctx, 1, "g"))
	tells("unlink", 1)
	ok(t, v().Rmdir(ctx, d.Ino, "e"))
	tells("rmdir", d.Ino)
	well(t, tr)
}
