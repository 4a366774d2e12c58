package proto

import (
	"errors"

	"github.com/wardfs/wardfs/posix"
)

// wire is the one table between posix.Errno and the numbers of the wire, which
// are Linux's on most of its machines and never change.
var wire = [posix.NumErrno]uint32{
	posix.EPERM: 1, posix.ENOENT: 2, posix.EINTR: 4, posix.EIO: 5, posix.ENXIO: 6,
	posix.E2BIG: 7, posix.EBADF: 9, posix.EAGAIN: 11, posix.ENOMEM: 12,
	posix.EACCES: 13, posix.EBUSY: 16, posix.EEXIST: 17, posix.EXDEV: 18,
	posix.ENODEV: 19, posix.ENOTDIR: 20, posix.EISDIR: 21, posix.EINVAL: 22,
	posix.EMFILE: 24, posix.ETXTBSY: 26, posix.EFBIG: 27, posix.ENOSPC: 28,
	posix.ESPIPE: 29, posix.EROFS: 30, posix.EMLINK: 31, posix.ERANGE: 34,
	posix.EDEADLK: 35, posix.ENAMETOOLONG: 36, posix.ENOLCK: 37, posix.ENOSYS: 38,
	posix.ENOTEMPTY: 39, posix.ELOOP: 40, posix.ENODATA: 61, posix.EPROTO: 71,
	posix.EOVERFLOW: 75, posix.EOPNOTSUPP: 95, posix.ETIMEDOUT: 110,
	posix.EHOSTDOWN: 112, posix.ESTALE: 116, posix.EDQUOT: 122,
	posix.ECANCELED: 125, posix.ENOKEY: 126, posix.EKEYEXPIRED: 127,
	posix.EKEYREVOKED: 128,
}

var unwire = func() map[uint32]posix.Errno {
	m := make(map[uint32]posix.Errno, len(wire))
	for e, n := range wire {
		m[n] = posix.Errno(e)
	}
	return m
}()

// Failed is the wire's form of err: a number and, for the log, the cause.
// Zero and nothing for nil.
func Failed(err error) (errno uint32, message string) {
	if err == nil {
		return 0, ""
	}
	var e *posix.Error
	if errors.As(err, &e) {
		if e.Err != nil {
			message = e.Err.Error()
		}
	} else if bare := posix.Errno(0); !errors.As(err, &bare) {
		message = err.Error()
	}
	return wire[posix.ErrnoOf(err)], message
}

// Failure is the error that Failed put on the wire, or nil. A number that this
// version does not know becomes EIO.
func Failure(op string, errno uint32, message string) error {
	if errno == 0 {
		return nil
	}
	e, ok := unwire[errno]
	if !ok {
		e = posix.EIO
	}
	var cause error
	if message != "" {
		cause = errors.New(message)
	}
	return posix.E(op, e, cause)
}
