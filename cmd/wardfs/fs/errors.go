package fs

import (
	"errors"

	"github.com/wardfs/wardfs/posix"
)

// pathError is what went wrong with one PATH, in one line.
type pathError struct {
	path string
	err  error
	next string
}

// Error reads "srv:/x: permission denied".
func (e *pathError) Error() string {
	text := e.err.Error()
	if p := (*posix.Error)(nil); errors.As(e.err, &p) {
		text = p.Errno.Error()
		if p.Err != nil && !errors.Is(p.Err, p.Errno) {
			text += ": " + p.Err.Error()
		}
	}
	return quote(e.path) + ": " + text
}

// Hint is the next step.
func (e *pathError) Hint() string  { return e.next }
func (e *pathError) Unwrap() error { return e.err }

// wrap says of which path err tells, and what to do. An error that has a hint
// of its own says all that already: it is one of reaching the server.
func wrap(path string, err error) error {
	var told interface{ Hint() string }
	if err == nil || errors.As(err, &told) {
		return err
	}
	return &pathError{path, err, hints[posix.ErrnoOf(err)]}
}

// errDefault is why a file gets no default ACL.
var errDefault = errors.New("only directories have default ACLs")

// hints are what to do about an errno, where that can be told from it alone.
var hints = map[posix.Errno]string{
	posix.EACCES:    "`wardfs fs getfacl` shows who may do what, of each directory on the way too",
	posix.EPERM:     "only the owner or a superuser may do that",
	posix.ENOENT:    "`wardfs fs ls` of the directory shows what is there",
	posix.ENOTEMPTY: "`wardfs fs rm -r` removes a directory with all that is in it",
	posix.EDQUOT:    "remove something, or ask for a larger quota",
	posix.EXDEV:     "name the place that it leads to",
	posix.EROFS:     "it is exported read-only to you",
	posix.EHOSTDOWN: "see that the server runs, or wait longer with -o timeo=",
	posix.ETIMEDOUT: "see that the server runs, or wait longer with -o timeo=",
}
