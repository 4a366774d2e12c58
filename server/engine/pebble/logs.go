package pebble

import (
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The file LOGS lists the logs of recent changes that must be there:
//
//	000027.log:16777000 000031.log:0 #5e6f7a8b\n
//
// each with how long it is at least, known once it is finished, and the CRC-32C
// of the line up to there. Pebble replays what logs it finds, takes an empty one
// for empty and misses none; but who clears a full disk may well take them for
// logs of another kind. A log is listed before anything in it is acknowledged,
// and struck off before it is removed or used again under another name.
type logs struct {
	mu   sync.Mutex
	must map[string]int64 // bytes
}

const (
	logsFile  = "LOGS"
	logSuffix = ".log"
)

// check reads the list and refuses a store that lacks one of it. A list
// that is not there or not whole asks for nothing.
func (l *logs) check(fs vfs.FS, dir string) error {
	l.must = map[string]int64{}
	b, err := readFile(fs, fs.PathJoin(dir, logsFile), 64<<10)
	if err != nil {
		return nil
	}
	line, sum, _ := strings.Cut(strings.TrimSuffix(string(b), "\n"), " #")
	if sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(line), castagnoli)) {
		return nil
	}
	for _, entry := range strings.Fields(line) {
		name, text, _ := strings.Cut(entry, ":")
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %s lists %q", ErrDamaged, logsFile, entry)
		}
		st, err := fs.Stat(fs.PathJoin(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %s is missing, which holds recent changes", ErrDamaged, name)
		}
		if err != nil {
			return err
		}
		if st.Size() < size {
			return fmt.Errorf("%w: %s has %d bytes, of %d that were written", ErrDamaged, name, st.Size(), size)
		}
		l.must[name] = size
	}
	return nil
}

// add lists a log that was just made.
func (l *logs) add(fs vfs.FS, dir, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// The log's name first: the list must not outlive it in a power cut.
	if err := syncDir(fs, dir); err != nil {
		return err
	}
	l.must[name] = 0
	return l.write(fs, dir)
}

// finish notes how long a log became, for the next list.
func (l *logs) finish(name string, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.must[name]; ok {
		l.must[name] = size
	}
}

// strike takes one off the list that is about to go.
func (l *logs) strike(fs vfs.FS, dir, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.must[name]; !ok {
		return nil
	}
	delete(l.must, name)
	return l.write(fs, dir)
}

func (l *logs) write(fs vfs.FS, dir string) error {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(l.must)) {
		all = append(all, fmt.Sprintf("%s:%d", name, l.must[name]))
	}
	line := strings.Join(all, " ")
	return writeFile(fs, dir, logsFile, fmt.Sprintf("%s #%08x\n", line, crc32.Checksum([]byte(line), castagnoli)))
}
