package pebble

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/engine"
)

// smallDisk mounts a disk of so many MiB, for root only.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Skipf("no tmpfs to be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// hog takes all the room on the disk; call it again for what came free since.
func hog(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "hog"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) >= 512; {
		if n, err := f.Write(block); errors.Is(err, syscall.ENOSPC) && n == 0 {
			block = block[:len(block)/2]
		} else if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

func openSmall(t *testing.T, disk string) *DB {
	t.Helper()
	db, err := Open(Config{Dir: filepath.Join(disk, "engine"), MemTable: 256 << 10, Reserve: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// remove deletes the newest entry of count.
func remove(t *testing.T, db *DB) error {
	return db.Update(t.Context(), func(tx engine.Tx) error {
		n, err := countedIn(tx)
		if err != nil || n == 0 {
			return err
		}
		tx.Put([]byte("n"), fmt.Append(nil, n-1))
		tx.Delete(fmt.Appendf(nil, "log/%06d", n))
		return nil
	})
}

func countedIn(r engine.Reader) (n int, err error) {
	v, ok, err := r.Get([]byte("n"))
	if err != nil || !ok {
		return 0, err
	}
	_, err = fmt.Sscan(string(v), &n)
	return n, err
}

// TestFullDisk: nothing is lost, deleting goes on, and so does all when there
// is room again.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 32)
	db := openSmall(t, disk)
	acked, err := count(t, db, 100)
	if err != nil {
		t.Fatal(err)
	}
	hog(t, disk)
	// Less and less is admitted, while somebody else takes what is given back.
	for err == nil {
		acked, err = count(t, db, 200)
		hog(t, disk)
	}
	refused(t, err)
	t.Logf("%d commits, then: %v", acked, err)
	whole(t, db, acked)
	for range 10 {
		if err := remove(t, db); err != nil {
			t.Fatalf("a full disk refuses to delete: %v", err)
		}
		acked--
	}
	whole(t, db, acked)
	if s := db.Stats(); s.Refused == 0 || s.Reserve >= s.ReserveWhole {
		t.Errorf("stats of a full disk: %+v", s)
	}

	// A restart on the full disk.
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	hog(t, disk)
	db = openSmall(t, disk)
	whole(t, db, acked)
	if err := remove(t, db); err != nil {
		t.Fatalf("a full disk refuses to delete after a restart: %v", err)
	}
	acked--
	// What the log has written ahead takes some more; then nothing does.
	for range 200 {
		if _, err = big(t, db, 65<<10); err != nil {
			break
		}
		hog(t, disk)
	}
	refused(t, err)

	// Room again.
	if err := os.Remove(filepath.Join(disk, "hog")); err != nil {
		t.Fatal(err)
	}
	if _, err := big(t, db, 65<<10); err != nil {
		t.Fatalf("there is room again, and: %v", err)
	}
	if n, err := count(t, db, 500); err != nil || n != acked+500 {
		t.Fatalf("%d commits, %v, want %d", n, err, acked+500)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openSmall(t, disk)
	whole(t, db, acked+500)
	if s := db.Stats(); s.Reserve != s.ReserveWhole || s.Reserve == 0 {
		t.Errorf("the reserve is %d of %d", s.Reserve, s.ReserveWhole)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// big puts one value of so many bytes.
func big(t *testing.T, db *DB, size int) (int, error) {
	return size, db.Update(t.Context(), func(tx engine.Tx) error {
		tx.Put([]byte("big"), noise("big", size))
		return nil
	})
}

// noise is a value that can't be compressed: else the disk would never be full.
func noise(key string, size int) []byte {
	v := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(key))).Read(v) // never fails
	return v
}

func refused(t *testing.T, err error) {
	t.Helper()
	if posix.ErrnoOf(err) != posix.ENOSPC || !errors.Is(err, posix.ENOSPC) {
		t.Fatalf("a full disk answers %v, want ENOSPC", err)
	}
}

func whole(t *testing.T, db *DB, want int) {
	t.Helper()
	if n, err := counted(db); err != nil || n != want {
		t.Fatalf("%d commits are there, want %d: %v", n, want, err)
	}
}

// TestFullDiskStorm fills the disk while many write values of all sizes: each
// answer is nil or ENOSPC, and those with nil are there.
func TestFullDiskStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("walks every operation: `make test` runs it whole, without the race detector")
	}
	disk := smallDisk(t, 32)
	db := openSmall(t, disk)
	var mu sync.Mutex
	sizes := map[string]int{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; ; i++ {
				key, size := fmt.Sprintf("%d/%06d", w, i), 1+(i*i*7919)%(50<<10)
				err := db.Update(t.Context(), func(tx engine.Tx) error {
					tx.Put([]byte(key), noise(key, size))
					return nil
				})
				if err != nil {
					if posix.ErrnoOf(err) != posix.ENOSPC {
						t.Errorf("a full disk answers %v, want ENOSPC", err)
					}
					return
				}
				mu.Lock()
				sizes[key] = size
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	check := func(db *DB) {
		t.Helper()
		n := 0
		err := db.View(t.Context(), func(r engine.Reader) error {
			return r.Scan(nil, nil, func(k, v []byte) bool {
				if sizes[string(k)] == len(v) && bytes.Equal(v, noise(string(k), len(v))) {
					n++
				}
				return true
			})
		})
		if err != nil || n != len(sizes) {
			t.Errorf("%d of %d acknowledged values are there: %v", n, len(sizes), err)
		}
	}
	check(db)
	err := db.Update(t.Context(), func(tx engine.Tx) error {
		return tx.Scan(nil, []byte("7"), func(k, _ []byte) bool {
			tx.Delete(k)
			delete(sizes, string(k))
			return true
		})
	})
	if err != nil {
		t.Fatalf("a full disk refuses to delete: %v", err)
	}
	// Room comes from merging away what was deleted.
	if err := db.lsm.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil && !full(err) {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openSmall(t, disk)
	check(db)
	if _, err := big(t, db, 1000); err != nil {
		t.Errorf("most was deleted, and: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
