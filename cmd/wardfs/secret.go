package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/wardfs/wardfs/identity/certs"
)

// secret is what a key or an option that names a secret means: a file, or
// env:NAME, a variable of the environment. A secret never stands in the
// configuration itself. It is read anew each time, without its line's end, and a
// file that others may read is told of in log. "" is none.
func secret(ref string, getenv func(string) string, log *slog.Logger) certs.Secret {
	if ref == "" {
		return nil
	}
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		return func() ([]byte, error) {
			if v := getenv(name); v != "" {
				return []byte(v), nil
			}
			return nil, fmt.Errorf("variable %s of the environment is empty or not set", name)
		}
	}
	if scheme, _, ok := strings.Cut(ref, ":"); ok && !strings.Contains(scheme, "/") {
		return func() ([]byte, error) {
			return nil, fmt.Errorf("%s: is no way to a secret: name a file, or env:NAME", scheme)
		}
	}
	return func() ([]byte, error) {
		f, err := os.Open(ref)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.Mode().Perm()&0o077 != 0 && log != nil {
			log.Warn("a file with a secret may be read by others; chmod 600 it", "file", ref)
		}
		b, err := readSecret(f)
		return bytes.TrimRight(b, "\r\n"), err
	}
}

// secretMost bounds a secret, in bytes: a wrong path to something huge is an
// error and not a wait.
const secretMost = 64 << 10

func readSecret(f *os.File) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, secretMost+1))
	if len(b) > secretMost {
		return nil, fmt.Errorf("%s is too large for a secret", f.Name())
	}
	return b, err
}
