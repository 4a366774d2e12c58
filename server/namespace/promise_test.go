package namespace

import (
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine/mem"
)

// A promise is made with an open for reading alone, is owed to others than the
// author, ends with the last handle or when it was kept, and leaves nothing.
func TestPromises(t *testing.T) {
	ctx := t.Context()
	tree, err := Open(ctx, Config{Engine: mem.New()})
	if err != nil {
		t.Fatal(err)
	}
	as := func(s SessionID) View { return tree.As(posix.Cred{Super: true}).In(s).Promising(true) }
	o, err := as(1).Create(ctx, posix.RootIno, "f", 0o600, 0, 1, posix.OpenRead|posix.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	ino := o.Attr.Ino
	open := func(s SessionID, h posix.Handle, flags posix.OpenFlags) {
		t.Helper()
		if _, err := as(s).Open(ctx, ino, h, flags); err != nil {
			t.Fatal(err)
		}
	}
	owed := func(what string, by SessionID, want int) []Promise {
		t.Helper()
		list := tree.Promises(ino, by)
		if len(list) != want {
			t.Errorf("%s: %d sessions are owed word, want %d", what, len(list), want)
		}
		return list
	}
	owed("made and open to write", 9, 0)
	open(2, 1, posix.OpenRead|posix.OpenWrite)
	owed("open to write", 9, 0)
	open(2, 2, posix.OpenRead)
	open(3, 1, posix.OpenRead)
	owed("open to read, asked by one of them", 3, 1)
	list := owed("open to read", 9, 2)
	open(3, 2, posix.OpenRead) // a promise made anew, before the old one was kept
	tree.Kept(list)
	owed("after it was kept", 9, 1)
	as(3).Close(ctx, 1)
	owed("with a handle left", 9, 1)
	as(3).Close(ctx, 2)
	owed("with none left", 9, 0)
	open(2, 3, posix.OpenRead)
	tree.Forgive(2)
	owed("of a session that relies on nothing", 9, 0)
	open(2, 4, posix.OpenRead)
	for s := range SessionID(4) {
		if err := tree.EndSession(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	tree.Kept(list) // of sessions that are gone
	if n := len(tree.opens.nodes); n != 0 {
		t.Errorf("%d inodes are busy after the end of all sessions", n)
	}
}
