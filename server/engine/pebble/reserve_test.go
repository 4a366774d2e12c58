package pebble

import (
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"
)

// fakeSpace is a reserve's file on a disk of so much room.
type fakeSpace struct {
	room        int64 // free or in the reserve
	size        int64
	unsupported bool
}

func (s *fakeSpace) Allocate(size int64) error {
	switch {
	case s.unsupported && size > s.size:
		return syscall.EOPNOTSUPP
	case size > s.room:
		return syscall.ENOSPC
	}
	s.size = size
	return nil
}

func (s *fakeSpace) Free() (int64, error) { return s.room - s.size, nil }
func (s *fakeSpace) Close() error         { return nil }

func fakeReserve(s *fakeSpace) *reserve {
	return newReserve(s, s.size, 800, slog.New(slog.DiscardHandler), func(time.Duration) bool { return false })
}

// TestReserveTiers gives slice after slice away on a disk that others keep
// full.
func TestReserveTiers(t *testing.T) {
	disk := &fakeSpace{room: 900}
	r := fakeReserve(disk)
	for _, want := range []struct {
		left              int64
		large, small, del bool
	}{
		{800, true, true, true},
		{700, false, true, true},
		{600, false, true, true},
		{500, false, false, true},
		{400, false, false, true},
		{300, false, false, false},
		{200, false, false, false},
		{100, false, false, false},
		{0, false, false, false},
	} {
		if left, whole := r.left(); left != want.left || whole != 800 || disk.size != want.left {
			t.Fatalf("%d of %d left, %d on disk, want %d", left, whole, disk.size, want.left)
		}
		if lets := r.lets(); lets != (want.left > 500) {
			t.Errorf("with %d left, merging may write: %v", want.left, lets)
		}
		large, little, del := r.admits(small+1, false), r.admits(small, false), r.admits(small+1, true)
		if large != want.large || little != want.small || del != want.del {
			t.Errorf("with %d left: large %v, small %v, deleting %v, want %v", want.left, large, little, del, want)
		}
		if gave := r.giveWay(false); gave != (want.left > 0) {
			t.Errorf("with %d left, giveWay answers %v", want.left, gave)
		}
		disk.room = disk.size // somebody else takes it
	}
	if r.await(time.Second) {
		t.Error("there is no room, and await says there is")
	}

	disk.room = 450 // not enough for the whole and a slice to spare
	if r.admits(1, false) || r.admits(1, true) || disk.size != 300 {
		t.Errorf("%d bytes are in the reserve, want 300", disk.size)
	}
	disk.room = 900
	if !r.admits(small+1, false) || disk.size != 800 {
		t.Errorf("there is room again, and %d bytes are in the reserve, want 800", disk.size)
	}
}

// TestReserveMerging leaves a slice more than deleting needs.
func TestReserveMerging(t *testing.T) {
	disk := &fakeSpace{room: 900}
	r := fakeReserve(disk)
	n := 0
	for ; r.giveWay(true); n++ {
		disk.room = disk.size
	}
	if n != 3 || disk.size != 500 || r.lets() || !r.admits(1, true) {
		t.Errorf("merging took %d slices and left %d", n, disk.size)
	}
	disk.room = 699
	if r.lets() {
		t.Error("199 bytes are free and merging may write")
	}
	disk.room = 700
	if !r.lets() {
		t.Error("200 bytes are free and merging may not write")
	}
}

// TestReserveKept takes up what an earlier process left.
func TestReserveKept(t *testing.T) {
	disk := &fakeSpace{room: 550, size: 500}
	r := fakeReserve(disk)
	if left, _ := r.left(); left != 500 || r.admits(1, false) || !r.admits(1, true) {
		t.Errorf("%d bytes are left, want 500 and deleting only", left)
	}
}

// TestReserveUnsupported goes by the free room where nothing can be allocated.
func TestReserveUnsupported(t *testing.T) {
	disk := &fakeSpace{room: 1000, unsupported: true}
	r := fakeReserve(disk)
	if !r.admits(small+1, false) {
		t.Error("1000 bytes are free and a large transaction is refused")
	}
	r.asked = time.Time{}
	disk.room = 500
	if r.admits(1, false) || !r.admits(1, true) {
		t.Error("500 bytes of 800 are free: want deleting only")
	}
	disk.room = 1000
	if !r.admits(small+1, false) {
		t.Error("1000 bytes are free again and a large transaction is refused")
	}
}

// TestReserveNone is what a disk without one has.
func TestReserveNone(t *testing.T) {
	var r *reserve
	if !r.admits(1<<30, false) || r.giveWay(false) || r.await(time.Hour) || r.close() != nil {
		t.Error("a nil reserve admits all, gives nothing, and waits for nothing")
	}
}

// TestReserveFile is the real one, as far as this filesystem can allocate.
func TestReserveFile(t *testing.T) {
	x := newFault(Config{Log: slog.New(slog.DiscardHandler)})
	path := t.TempDir() + "/RESERVE"
	r, err := openReserve(path, 1<<20, x)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := r.file.Allocate(2 << 20); errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no allocation here: %v", err)
	}
	blocks := func() int64 {
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if got := blocks(); got < 2<<20 {
		t.Errorf("2 MiB allocated take %d bytes", got)
	}
	r.size = 2 << 20
	r.want = 2 << 20
	if !r.giveWay(false) || blocks() > 2<<20-256<<10 {
		t.Errorf("after giving way the reserve takes %d bytes", blocks())
	}
}
