package proto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/wardfs/wardfs/posix"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fill gives every field of a struct a value of its own, so that a conversion
// that forgets one shows.
func fill(v reflect.Value, n *uint64) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.String:
		*n++
		v.SetString("name \xff " + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		*n++
		v.SetInt(-int64(*n))
	default:
		*n++
		v.SetUint(*n & 0xff)
	}
}

func filled[T any]() T {
	var x T
	n := uint64(0)
	fill(reflect.ValueOf(&x).Elem(), &n)
	return x
}

func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Errorf("%T there and back:\n got %+v\nwant %+v", want, got, want)
	}
}

func TestThereAndBack(t *testing.T) {
	same(t, filled[posix.Attr](), FromAttr(ToAttr(filled[posix.Attr]())))
	same(t, filled[posix.Cred](), FromCred(ToCred(filled[posix.Cred]())))
	same(t, filled[posix.Statfs](), FromStatfs(ToStatfs(filled[posix.Statfs]())))
	same(t, filled[[]posix.Dirent](), FromDirents(ToDirents(filled[[]posix.Dirent]())))

	l, errno := FromLock(ToLock(posix.Lock{Kind: posix.LockFlock, Type: posix.LockWrite, Start: 3, End: 1 << 62, Owner: 1<<64 - 1, PID: 7}))
	same(t, 0, errno)
	same(t, posix.Lock{Kind: posix.LockFlock, Type: posix.LockWrite, Start: 3, End: 1 << 62, Owner: 1<<64 - 1, PID: 7}, l)

	ino, set := FromSetattr(ToSetattr(7, filled[posix.SetAttr]()))
	same(t, 7, ino)
	same(t, filled[posix.SetAttr](), set)

	o, errno := FromOpened(ToOpened(filled[posix.Opened]()))
	same(t, 0, errno)
	same(t, filled[posix.Opened](), o)

	h, c, errno := FromCommit(ToCommit(9, filled[posix.Commit]()))
	same(t, 0, errno)
	same(t, 9, h)
	same(t, filled[posix.Commit](), c)
}

func TestAHoleHasNoSlice(t *testing.T) {
	hole := []posix.Extent{{Off: 4096, Len: 100}}
	got, errno := FromExtents(ToExtents(hole))
	same(t, 0, errno)
	same(t, hole, got)
}

func TestLocksAreOfAKindAndType(t *testing.T) {
	for _, m := range []*Lock{nil, {}, {Type: 4}, {Kind: 2, Type: 1}, {Type: 1 << 8}, {Kind: 1 << 8, Type: 1}} {
		if _, errno := FromLock(m); errno != posix.EINVAL {
			t.Errorf("%v: %v, want EINVAL", m, errno)
		}
	}
}

func TestSliceIDsAreSixteenBytes(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, make([]byte, 15), make([]byte, 16), bytes.Repeat([]byte{1}, 17)} {
		if _, errno := FromSlice(b); errno != posix.EINVAL {
			t.Errorf("%x: %v, want EINVAL", b, errno)
		}
	}
}

func TestEveryErrnoTravels(t *testing.T) {
	for e := posix.Errno(1); e < posix.NumErrno; e++ {
		n, _ := Failed(posix.E("op", e, nil))
		if n == 0 {
			t.Errorf("%v has no number on the wire", e)
			continue
		}
		if err := Failure("op", n, ""); posix.ErrnoOf(err) != e {
			t.Errorf("%v comes back as %v", e, err)
		}
	}
	if err := Failure("op", 99999, ""); posix.ErrnoOf(err) != posix.EIO {
		t.Errorf("an unknown number is %v, want EIO", err)
	}
}

func TestCausesTravel(t *testing.T) {
	n, text := Failed(posix.E("rename", posix.EXDEV, errors.New("another zone")))
	if err := Failure("rename", n, text); err.Error() != "rename: invalid cross-device link: another zone" {
		t.Errorf("got %q", err)
	}
	if n, text := Failed(nil); n != 0 || text != "" || Failure("x", n, text) != nil {
		t.Error("success does not stay success")
	}
}

// The wire's bytes are a promise to peers of other releases: a change of the
// golden file is a change of the protocol.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name string
		msg  proto.Message
	}{
		{"call", &ToServer{Id: 5, Body: &ToServer_Call{Call: &Call{
			Cred: ToCred(filled[posix.Cred]()), Epoch: 2, Slot: 1, Seq: 4,
			Op: &Call_Commit{Commit: ToCommit(9, filled[posix.Commit]())},
		}}}},
		{"reply", &ToClient{Id: 5, Body: &ToClient_Reply{Reply: &Reply{Opened: ToOpened(filled[posix.Opened]())}}}},
		{"copyrange", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{
			Epoch: 2, Slot: 1, Seq: 4, Op: &Call_CopyRange{CopyRange: &CopyRange{From: 1, Off: 2, To: 3, ToOff: 4, Length: 5}},
		}}}},
		{"allocate", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{
			Epoch: 2, Op: &Call_Allocate{Allocate: &Allocate{Handle: 1, Mode: 3, Off: 4, Length: 5}},
		}}}},
		{"tmpfile", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{
			Epoch: 2, Op: &Call_Tmpfile{Tmpfile: &Tmpfile{Dir: 1, Mode: 0o666, Umask: 0o22, Handle: 3, Flags: 2}},
		}}}},
		{"readdir", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{
			Epoch: 2, Op: &Call_Readdir{Readdir: &Readdir{Dir: 1, Cookie: 2, Max: 3, Plus: true, Handle: 4}},
		}}}},
		{"setlk", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{
			Epoch: 2, Op: &Call_Setlk{Setlk: &Setlk{Ino: 9, Lock: ToLock(filled[posix.Lock]()), Wait: true}},
		}}}},
		{"getlk", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{
			Epoch: 2, Op: &Call_Getlk{Getlk: &Getlk{Ino: 9, Lock: ToLock(filled[posix.Lock]())}},
		}}}},
		{"unlock", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{
			Epoch: 2, Op: &Call_Unlock{Unlock: &Unlock{Ino: 9, Owner: 8, Kind: 1}},
		}}}},
		{"reclaim", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{
			Epoch: 2, Op: &Call_ReclaimLock{ReclaimLock: &ReclaimLock{Ino: 9, Lock: ToLock(filled[posix.Lock]())}},
		}}}},
		{"reclaimed", &ToServer{Id: 6, Body: &ToServer_Call{Call: &Call{Epoch: 2, Op: &Call_Reclaimed{Reclaimed: &Reclaimed{}}}}}},
		{"locked", &ToClient{Id: 6, Body: &ToClient_Reply{Reply: &Reply{Count: 7, Lock: ToLock(filled[posix.Lock]())}}}},
		{"hello", &ToServer{Body: &ToServer_Hello{Hello: &Hello{Version: 1, Mechanism: "SIMPLE", Proof: []byte("user1"), Session: 3, Secret: []byte("s")}}}},
	} {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.msg)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", c.name+".hex")
		if *update {
			os.MkdirAll("testdata", 0o755)
			os.WriteFile(file, []byte(hex.EncodeToString(b)+"\n"), 0o644)
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s on the wire is\n%s\nand was\n%s", c.name, got, want)
		}
	}
}
