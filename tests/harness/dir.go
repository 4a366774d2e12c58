package harness

import (
	"os"
	"syscall"
	"testing"
)

// LocalDir is a directory on the machine's own disk, open to every user: the
// oracle that says whether an assertion is right. It goes when t ends.
func LocalDir(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		Skip(t, "not root: other users and devices are part of the test")
	}
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	dir := tempDir(t, "")
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if st.Type == tmpfs || st.Type == ramfs {
		dir = tempDir(t, "/var/tmp") // memory has no O_DIRECT and few xattrs
	}
	return dir
}

// TempDir is a directory open to every user that goes when t ends.
func TempDir(t testing.TB) string {
	t.Helper()
	return tempDir(t, "")
}

// tempDir makes a directory of the session, or below parent if that is given.
// Unlike t.TempDir's its path is short (sockets lie in it) and others may
// enter it.
func tempDir(t testing.TB, parent string) string {
	t.Helper()
	if parent == "" {
		parent = session.root
	}
	dir, err := os.MkdirTemp(parent, "t")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("not everything could be removed: %v", err)
		}
	})
	return dir
}
