package kerberos

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
)

// keys is a keytab that is read again when its file changes. A file that can't
// be read, half written as it may be, leaves the last good keys.
type keys struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	kt   *keytab.Keytab
	mod  time.Time
	size int64
	told string // what was logged last, to say it once
}

func (k *keys) get() (*keytab.Keytab, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	st, err := os.Stat(k.path)
	if err == nil && k.kt != nil && st.ModTime().Equal(k.mod) && st.Size() == k.size {
		return k.kt, nil
	}
	var kt *keytab.Keytab
	if err == nil {
		kt, err = loadKeytab(k.path)
	}
	if err != nil {
		err = fmt.Errorf("keytab %s: %w", k.path, err)
		if k.kt == nil {
			return nil, err
		}
		if k.told != err.Error() {
			k.told = err.Error()
			k.log.Warn("the keytab can't be read; the keys of before stay", "err", err)
		}
		return k.kt, nil
	}
	if k.kt != nil {
		k.log.Info("the keytab was read again", "keytab", k.path, "keys", len(kt.Entries))
	}
	k.kt, k.mod, k.size, k.told = kt, st.ModTime(), st.Size(), ""
	return kt, nil
}

func loadKeytab(path string) (*keytab.Keytab, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseKeytab(b)
}

func parseKeytab(b []byte) (*keytab.Keytab, error) {
	kt := keytab.New()
	if err := safely(func() error { return kt.Unmarshal(b) }); err != nil {
		return nil, fmt.Errorf("not a keytab: %w", err)
	}
	if len(kt.Entries) == 0 {
		return nil, fmt.Errorf("no key in it")
	}
	return kt, nil
}
