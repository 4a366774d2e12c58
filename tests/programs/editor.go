package programs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// editorStory saves again and again as editors do, while a reader must always
// see one whole version, and never an older one after a newer.
func editorStory(s *shell) {
	name := filepath.Join(s.dir, "text")
	harness.As(s.cred, func() {
		s.ok(saveByRename(name, 0))
		const versions = 150
		done := make(chan error, 1)
		harness.As(s.cred, func() {
			go func() {
				for v := 1; v <= versions; v++ {
					if err := saveByRename(name, v); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			s.read(name, done)
		})
		_, v, err := version(name)
		s.ok(err)
		s.equal("the last version", fmt.Sprint(v), fmt.Sprint(versions))
		s.ok(saveWithBackup(name, versions+1))
		_, v, err = version(name + "~")
		s.ok(err)
		s.equal("the backup", fmt.Sprint(v), fmt.Sprint(versions))
	})
	entries, err := os.ReadDir(s.dir)
	s.ok(err)
	s.equal("files at the end", fmt.Sprint(len(entries)), "3") // home, text, text~
}

// read reads the file until the writer is done.
func (s *shell) read(name string, done <-chan error) {
	s.Helper()
	last, reads := 0, 0
	for {
		select {
		case err := <-done:
			s.ok(err)
			if reads < 5 {
				s.Errorf("only %d reads meanwhile", reads)
			}
			return
		default:
		}
		_, v, err := version(name)
		if err != nil {
			s.Fatalf("after %d reads: %v", reads, err)
		}
		if v < last {
			s.Fatalf("version %d was seen after %d", v, last)
		}
		last = v
		reads++
	}
}

// text is a version's content: its length differs from version to version.
func text(v int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("version %d\n", v)), 500+v*37%2000)
}

// version says which whole version a file holds.
func version(name string) (os.FileInfo, int, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, 0, err
	}
	st, err := os.Stat(name)
	var v int
	if n, _ := fmt.Sscanf(string(b), "version %d\n", &v); n != 1 || !bytes.Equal(b, text(v)) {
		return nil, 0, errors.Join(err, fmt.Errorf("%d bytes that are no whole version: %.40q", len(b), b))
	}
	return st, v, err
}

// saveByRename: write beside it, fsync, rename over it, fsync the directory.
func saveByRename(name string, v int) error {
	tmp := name + ".swp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text(v))
	if err := errors.Join(err, f.Sync(), f.Close(), os.Rename(tmp, name)); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// saveWithBackup is vim's other way: the old file becomes the backup, the new
// one is made with its mode and times of access.
func saveWithBackup(name string, v int) error {
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	if err := os.Rename(name, name+"~"); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, st.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = f.Write(text(v))
	return errors.Join(err, unix.Fchmod(int(f.Fd()), uint32(st.Mode().Perm())), f.Sync(), f.Close())
}
