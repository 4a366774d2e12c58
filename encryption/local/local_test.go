package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/wardfs/wardfs/encryption"
	"github.com/wardfs/wardfs/encryption/keystest"
	"github.com/wardfs/wardfs/encryption/local"
)

func TestContract(t *testing.T) {
	keys, err := local.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keystest.Run(t, keys, "one", "two")
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	keys, err := local.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := keys.New(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "one"): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	again, err := local.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := again.Unwrap(t.Context(), "one", []encryption.Wrapped{w}); err != nil || opened[0].Err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := os.Truncate(filepath.Join(dir, "one"), 31); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.New(t.Context(), "one"); !errors.Is(err, encryption.ErrUnavailable) {
		t.Errorf("a wrapping key that was cut: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "one")); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Unwrap(t.Context(), "one", []encryption.Wrapped{w}); !errors.Is(err, encryption.ErrDenied) {
		t.Errorf("a wrapping key that is gone: %v", err)
	}
}
