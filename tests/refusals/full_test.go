package refusals

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// TestFullDisk: the server's disk fills up in the middle of a copy. Programs
// are told ENOSPC, what was acknowledged stays, files can be removed, and then
// it goes on.
func TestFullDisk(t *testing.T) {
	base := harness.TempDir(t)
	if err := unix.Mount("wardfs-test", base, "tmpfs", 0, "size=600m"); err != nil {
		harness.Skip(t, fmt.Sprintf("no tmpfs can be mounted: %v", err))
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(base, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := harness.Start(t, "--set", "engine.dir="+filepath.Join(base, "engine"), "--set", "chunk.dir="+filepath.Join(base, "chunks"))
	data := bytes.Repeat([]byte("a full disk keeps what it has said to keep\n"), 1<<17) // 5 MiB and more
	kept := 0
	var err error
	for ; err == nil; kept++ {
		if kept == 600 {
			t.Fatal("600 files fit on a disk of 600 MiB")
		}
		err = keep(filepath.Join(w.Mount(), fmt.Sprint(kept)), data)
	}
	kept-- // the last was refused
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("file %d: %v, want %v", kept, err, syscall.ENOSPC)
	}
	if kept < 10 {
		t.Fatalf("only %d files of 5 MiB", kept)
	}
	for i := range kept {
		if b, err := os.ReadFile(filepath.Join(w.Mount(), fmt.Sprint(i))); err != nil || !bytes.Equal(b, data) {
			t.Fatalf("file %d, which was synced: %d bytes, %v", i, len(b), err)
		}
	}
	for i := 0; i <= kept; i += 2 {
		if err := os.Remove(filepath.Join(w.Mount(), fmt.Sprint(i))); err != nil {
			t.Fatalf("removing on a full disk: %v", err)
		}
	}
	// Room comes when the collector has been there.
	err = harness.Until(func() error {
		time.Sleep(100 * time.Millisecond) // each try is 5 MiB
		return keep(filepath.Join(w.Mount(), "again"), data)
	})
	if err != nil {
		t.Fatalf("after half of the files were removed: %v", err)
	}
	w.Restart(t)
	for i := 1; i < kept; i += 2 {
		if b, err := os.ReadFile(filepath.Join(w.Mount(), fmt.Sprint(i))); err != nil || !bytes.Equal(b, data) {
			t.Fatalf("file %d after a restart: %d bytes, %v", i, len(b), err)
		}
	}
}

// keep writes a file and syncs it. What was refused is removed by who wants to.
func keep(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
