package posix

import (
	"context"
	"errors"
	"strconv"
)

// Errno is why an operation was refused. The values are wardfs's own and have
// no order: package fuse has the table to the kernel's numbers and package
// proto the one to the wire's.
type Errno uint16

// The errnos of errno(3) that wardfs answers. Zero is no error.
const (
	_ Errno = iota
	EPERM
	ENOENT
	EINTR
	EIO
	ENXIO
	E2BIG
	EBADF
	EAGAIN
	ENOMEM
	EACCES
	EBUSY
	EEXIST
	EXDEV
	ENODEV
	ENOTDIR
	EISDIR
	EINVAL
	EMFILE
	ETXTBSY
	EFBIG
	ENOSPC
	ESPIPE
	EROFS
	EMLINK
	ERANGE
	EDEADLK
	ENAMETOOLONG
	ENOLCK
	ENOSYS
	ENOTEMPTY
	ELOOP
	ENODATA
	EOVERFLOW
	EOPNOTSUPP
	ETIMEDOUT
	ESTALE
	EDQUOT
	ECANCELED
	ENOKEY
	EKEYEXPIRED
	EKEYREVOKED
	EHOSTDOWN
	EPROTO
	NumErrno // how many there are; not an errno
)

var errnos = [NumErrno]struct{ name, text string }{
	0:            {"0", "no error"},
	EPERM:        {"EPERM", "operation not permitted"},
	ENOENT:       {"ENOENT", "no such file or directory"},
	EINTR:        {"EINTR", "interrupted"},
	EIO:          {"EIO", "input/output error"},
	ENXIO:        {"ENXIO", "no such device or address"},
	E2BIG:        {"E2BIG", "argument list too long"},
	EBADF:        {"EBADF", "bad file descriptor"},
	EAGAIN:       {"EAGAIN", "try again"},
	ENOMEM:       {"ENOMEM", "out of memory"},
	EACCES:       {"EACCES", "permission denied"},
	EBUSY:        {"EBUSY", "busy"},
	EEXIST:       {"EEXIST", "file exists"},
	EXDEV:        {"EXDEV", "invalid cross-device link"},
	ENODEV:       {"ENODEV", "no such device"},
	ENOTDIR:      {"ENOTDIR", "not a directory"},
	EISDIR:       {"EISDIR", "is a directory"},
	EINVAL:       {"EINVAL", "invalid argument"},
	EMFILE:       {"EMFILE", "too many open files"},
	ETXTBSY:      {"ETXTBSY", "text file busy"},
	EFBIG:        {"EFBIG", "file too large"},
	ENOSPC:       {"ENOSPC", "no space left on device"},
	ESPIPE:       {"ESPIPE", "illegal seek"},
	EROFS:        {"EROFS", "read-only file system"},
	EMLINK:       {"EMLINK", "too many links"},
	ERANGE:       {"ERANGE", "result too large"},
	EDEADLK:      {"EDEADLK", "deadlock avoided"},
	ENAMETOOLONG: {"ENAMETOOLONG", "file name too long"},
	ENOLCK:       {"ENOLCK", "no locks available"},
	ENOSYS:       {"ENOSYS", "not implemented"},
	ENOTEMPTY:    {"ENOTEMPTY", "directory not empty"},
	ELOOP:        {"ELOOP", "too many symbolic links"},
	ENODATA:      {"ENODATA", "no such attribute"},
	EOVERFLOW:    {"EOVERFLOW", "value too large"},
	EOPNOTSUPP:   {"EOPNOTSUPP", "operation not supported"},
	ETIMEDOUT:    {"ETIMEDOUT", "timed out"},
	ESTALE:       {"ESTALE", "stale file handle"},
	EDQUOT:       {"EDQUOT", "quota exceeded"},
	ECANCELED:    {"ECANCELED", "cancelled"},
	ENOKEY:       {"ENOKEY", "required key not available"},
	EKEYEXPIRED:  {"EKEYEXPIRED", "credential expired"},
	EKEYREVOKED:  {"EKEYREVOKED", "credential revoked"},
	EHOSTDOWN:    {"EHOSTDOWN", "server is down"},
	EPROTO:       {"EPROTO", "protocol error"},
}

// String names the errno as errno(3) does.
func (e Errno) String() string {
	if e < NumErrno && errnos[e].name != "" {
		return errnos[e].name
	}
	return "errno " + strconv.Itoa(int(e))
}

// Error says it in words, so that a bare Errno is an error too.
func (e Errno) Error() string {
	if e < NumErrno && errnos[e].text != "" {
		return errnos[e].text
	}
	return e.String()
}

// Error is a refused operation: which one, and why.
type Error struct {
	Op    string // the system call's word: "rename"
	Errno Errno
	Err   error // the cause, where there is more to say
}

// E makes an *Error, so that every refusal bears its op and errno from birth.
// err may be nil.
func E(op string, errno Errno, err error) error { return &Error{op, errno, err} }

// Error reads "rename: directory not empty".
func (e *Error) Error() string {
	s := e.Op + ": " + e.Errno.Error()
	if e.Err != nil && !errors.Is(e.Err, e.Errno) {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives both, so that errors.Is(err, posix.ENOENT) holds.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Errno}
	}
	return []error{e.Errno, e.Err}
}

// ErrnoOf is the errno that err bears: 0 for nil, EINTR for a cancelled
// context, ETIMEDOUT for one past its deadline, EIO for an error without one.
func ErrnoOf(err error) Errno {
	if err == nil {
		return 0
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Errno
	}
	if e := Errno(0); errors.As(err, &e) {
		return e
	}
	switch {
	case errors.Is(err, context.Canceled):
		return EINTR
	case errors.Is(err, context.DeadlineExceeded):
		return ETIMEDOUT
	}
	return EIO
}
