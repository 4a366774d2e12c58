package certs

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// listDir answers what a directory of key pairs holds: the names of its
// certificates, NAME.crt, and which of them have a key, NAME.key, beside them;
// both in the order of names. All certificates are trusted, and the first with
// a key is shown, so that keys rotate by being copied and renamed: the next one
// is trusted everywhere before it is the first anywhere, and one that is being
// moved is trusted all the while.
func listDir(dir string) (certs, pairs []string, err error) {
	all, err := os.ReadDir(dir) // in order
	if err != nil {
		return nil, nil, err
	}
	keys := map[string]bool{}
	for _, e := range all {
		if name, ok := strings.CutSuffix(e.Name(), ".key"); ok && name != "" {
			keys[name] = true
		} else if name, ok := strings.CutSuffix(e.Name(), ".crt"); ok && name != "" {
			certs = append(certs, name)
		}
	}
	slices.Sort(certs) // by name, without the ending
	for _, name := range certs {
		if keys[name] {
			pairs = append(pairs, name)
		}
	}
	return certs, pairs, nil
}

// readDir reads what listDir found. A pair that does not fit is an error: the
// last good set stays, and a start with it fails.
func (m *material) readDir(dir string) error {
	certs, pairs, err := listDir(dir)
	if err != nil {
		return unusable(dir, "can't be listed", err)
	}
	if len(pairs) == 0 {
		return unusable(dir, "holds no pair NAME.key and NAME.crt", nil)
	}
	for _, name := range certs {
		cas, err := readCAs(filepath.Join(dir, name+".crt"))
		if err != nil {
			return err
		}
		m.cas = append(m.cas, cas...)
	}
	for i, name := range pairs {
		path := filepath.Join(dir, name)
		var pair *tls.Certificate
		if pair, err = readPair(path+".crt", path+".key", nil); err != nil {
			return err
		}
		if m.noteOpen(path + ".key"); i == 0 {
			m.leaf = pair
		}
	}
	return nil
}
