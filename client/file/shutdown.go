package file

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wardfs/wardfs/posix"
)

// Unsaved is written data of one file that is not committed.
type Unsaved struct {
	Ino   posix.Ino
	Bytes uint64
}

// Unsaved answers the files with written data that is not committed, the
// oldest first.
func (f *Files) Unsaved() []Unsaved {
	var out []Unsaved
	for _, i := range f.dirtySince(f.now()) {
		i.mu.RLock()
		if n := i.covered(); n > 0 {
			out = append(out, Unsaved{i.ino, uint64(n)})
		}
		i.mu.RUnlock()
	}
	return out
}

// LostError is what Shutdown could not commit, and nobody will.
type LostError struct {
	Files []Unsaved
	Err   error // why; nil: it was written too late
}

// Error reads "4096 bytes written to 1 file (inode 12) are lost: ...".
func (e *LostError) Error() string {
	const most = 10
	var total uint64
	var inodes []string
	for k, u := range e.Files {
		total += u.Bytes
		if k < most {
			inodes = append(inodes, fmt.Sprint(u.Ino))
		}
	}
	if len(e.Files) > most {
		inodes = append(inodes, "...")
	}
	text := fmt.Sprintf("%d bytes written to %d files (inodes %s) are lost", total, len(e.Files), strings.Join(inodes, " "))
	if len(e.Files) == 1 {
		text = fmt.Sprintf("%d bytes written to 1 file (inode %s) are lost", total, inodes[0])
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *LostError) Unwrap() error { return e.Err }

// Shutdown refuses to buffer any more, commits what is buffered, and ends what
// goes on in the background. Handles answer ECANCELED afterwards to all but
// Close. What could not be committed is a [LostError].
func (f *Files) Shutdown(ctx context.Context) error {
	f.memory.end(posix.E("write", posix.ECANCELED, nil))
	err := f.SyncAll(ctx)
	if lost := f.Unsaved(); len(lost) > 0 {
		if ctx.Err() != nil {
			err = posix.E("flush", posix.ETIMEDOUT, errors.New("the server did not take them in time"))
		}
		err = &LostError{lost, err}
	}
	f.mu.Lock()
	f.shut = true
	f.mu.Unlock()
	f.cancel()
	f.work.Wait()
	for _, i := range f.dirtySince(f.now()) {
		i.mu.RLock()
		f.log.Error("delayed writes dropped", "ino", i.ino, "bytes", i.covered(), "errno", posix.ErrnoOf(err))
		i.mu.RUnlock()
	}
	return err
}
