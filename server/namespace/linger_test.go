package namespace

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// Who has looked a file up can open it for a while although it was replaced
// since: an open of a name that is being replaced never fails.
func TestLinger(t *testing.T) {
	var clock atomic.Int64
	clock.Store(1e9)
	tr := open(t, mem.New(), Config{Linger: 5 * time.Second, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
	ctx, fs := t.Context(), tr.As(posix.Cred{Super: true}).In(1)
	var old [2]posix.Ino
	for i, name := range []string{"a", "b"} {
		o, err := fs.Create(ctx, posix.RootIno, name, 0o600, 0, posix.Handle(i+1), posix.OpenWrite)
		if err != nil {
			t.Fatal(err)
		}
		if err := fs.Close(ctx, posix.Handle(i+1)); err != nil {
			t.Fatal(err)
		}
		old[i] = o.Attr.Ino
	}
	if err := fs.Rename(ctx, posix.RootIno, "a", posix.RootIno, "b", 0); err != nil {
		t.Fatal(err)
	}
	if err := fs.Unlink(ctx, posix.RootIno, "b"); err != nil {
		t.Fatal(err)
	}
	if did, err := tr.Reclaim(ctx, 100); did != 0 || err != nil {
		t.Fatalf("reclaimed %d at once, %v", did, err)
	}
	if _, err := fs.Open(ctx, old[1], 7, posix.OpenRead); err != nil {
		t.Fatalf("open of what was just replaced: %v", err)
	}
	clock.Add(6)
	if _, err := fs.Open(ctx, old[0], 8, posix.OpenRead); !errors.Is(err, posix.ESTALE) {
		t.Fatalf("open of what went long ago: %v", err)
	}
	if err := fs.Close(ctx, 7); err != nil {
		t.Fatal(err)
	}
	for {
		did, err := tr.Reclaim(ctx, 100)
		if err != nil {
			t.Fatal(err)
		}
		if did == 0 {
			break
		}
	}
	for _, ino := range old {
		if _, err := fs.Getattr(ctx, ino); !errors.Is(err, posix.ESTALE) {
			t.Errorf("inode %d is still there: %v", ino, err)
		}
	}
	settled(t, tr)
}
