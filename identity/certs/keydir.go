package certs

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dirPairs are the key pairs of a directory, NAME.key beside NAME.crt, in the
// order of their names. All of them are trusted and the first is shown, so
// that three files rotate by being copied: the next one is trusted everywhere
// before it is the first anywhere. A key without a certificate, or the other
// way round, is one that is being copied.
func dirPairs(dir string) (names []string, err error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, e := range all {
		have[e.Name()] = true
	}
	for name := range have {
		if base, ok := strings.CutSuffix(name, ".key"); ok && base != "" && have[base+".crt"] {
			names = append(names, base)
		}
	}
	slices.Sort(names)
	return names, nil
}

// readDir reads the pairs of c.Dir. One that is damaged is an error: the last
// good set stays, and a start with it fails.
func (m *material) readDir(dir string) error {
	names, err := dirPairs(dir)
	if err != nil {
		return unusable(dir, "can't be listed", err)
	}
	if len(names) == 0 {
		return unusable(dir, "holds no pair NAME.key and NAME.crt", nil)
	}
	for i, name := range names {
		path := filepath.Join(dir, name)
		cas, err := readCAs(path + ".crt")
		if err != nil {
			return err
		}
		m.cas = append(m.cas, cas...)
		var pair *tls.Certificate
		if pair, err = readPair(path+".crt", path+".key", nil); err != nil {
			return err
		}
		m.noteOpen(path + ".key")
		if i == 0 {
			m.leaf = pair
		}
	}
	return nil
}
