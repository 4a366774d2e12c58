package namespace

import (
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// TestAtime reads in every way that counts, and looks at what is written.
func TestAtime(t *testing.T) {
	const hour = time.Hour
	start := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		name   string
		policy AtimePolicy
		after  []time.Duration // reads, since the making
		want   time.Duration
	}{
		{"the first time", Relatime, []time.Duration{hour}, hour},
		{"once more", Relatime, []time.Duration{hour, 2 * hour}, hour},
		{"a day later", Relatime, []time.Duration{hour, 25 * hour}, 25 * hour},
		{"not quite a day later", Relatime, []time.Duration{hour, 25*hour - time.Second}, hour},
		{"strictly", StrictAtime, []time.Duration{hour, 2 * hour}, 2 * hour},
		{"never", NoAtime, []time.Duration{hour, 48 * hour}, 0},
	} {
		now := start
		tr := open(t, mem.New(), Config{Atime: c.policy, Now: func() time.Time { return now }})
		v := tr.As(super).In(1)
		f := create(t, v, "f", 1)
		link, err := v.Symlink(t.Context(), 1, "l", "f")
		ok(t, err)
		d, err := v.Mkdir(t.Context(), 1, "d", 0o755, 0)
		ok(t, err)
		for _, after := range c.after {
			now = start.Add(after)
			_, err = v.Open(t.Context(), f, 2, posix.OpenRead)
			ok(t, err)
			ok(t, v.Close(t.Context(), 2))
			_, err = v.Readlink(t.Context(), link.Ino)
			ok(t, err)
			_, err = v.Readdir(t.Context(), d.Ino, 0, 0, 10, false)
			ok(t, err)
			reclaimAll(t, tr)
		}
		now = start.Add(100 * hour)
		_, err = v.Open(t.Context(), f, 2, posix.OpenWrite) // is no reading
		ok(t, err)
		_, err = v.Readdir(t.Context(), d.Ino, 0, 1, 10, false) // goes on with one
		ok(t, err)
		reclaimAll(t, tr)
		for what, ino := range map[string]posix.Ino{"file": f, "link": link.Ino, "directory": d.Ino} {
			a, err := v.Getattr(t.Context(), ino)
			ok(t, err)
			if got := a.Atime.Std().Sub(start); got != c.want {
				t.Errorf("%s: %s has atime %v after its making, want %v", c.name, what, got, c.want)
			}
			if a.Ctime.Std() != start || a.Mtime.Std() != start {
				t.Errorf("%s: %s was changed by reading: %+v", c.name, what, a)
			}
		}
		settled(t, tr)
	}
}

// A time that was set after the reading stays.
func TestAtimeSetSince(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	tr := open(t, mem.New(), Config{Now: func() time.Time { return now }})
	v := tr.As(super).In(1)
	f := create(t, v, "f", 1)
	now = now.Add(time.Minute)
	_, err := v.Open(t.Context(), f, 2, posix.OpenRead)
	ok(t, err)
	now = now.Add(time.Minute)
	a, err := v.Setattr(t.Context(), f, posix.SetAttr{Set: posix.SetAtime, Atime: posix.Time{Sec: 5}})
	ok(t, err)
	reclaimAll(t, tr)
	got, err := v.Getattr(t.Context(), f)
	if err != nil || got != a {
		t.Errorf("%+v %v, want %+v", got, err, a)
	}
	// What is read and gone, and a crowd, is forgotten.
	for i := range posix.Ino(atimesMost + 100) {
		n := &inode{}
		n.Ino = 1<<40 + i
		tr.accessed(n)
	}
	if n := len(tr.atimes.next); n != atimesMost {
		t.Errorf("%d are noted, at most %d should be", n, atimesMost)
	}
	reclaimAll(t, tr)
	if tr.atimes.next != nil {
		t.Error("still noted")
	}
	settled(t, tr)
}
