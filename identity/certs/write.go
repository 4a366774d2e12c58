package certs

import (
	"os"
	"path/filepath"
)

// writer publishes a file.
type writer func(path string, data []byte, perm os.FileMode) error

// writeNew is writeFile that never takes the place of what is there.
func writeNew(path string, data []byte, perm os.FileMode) error {
	return publish(path, data, perm, os.Link)
}

// writeFile publishes data at path, whole or not at all, and durably: who
// reads at any moment reads the old file or the new one.
func writeFile(path string, data []byte, perm os.FileMode) error {
	return publish(path, data, perm, os.Rename)
}

func publish(path string, data []byte, perm os.FileMode, name func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // made 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of a rename it is gone
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = name(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
