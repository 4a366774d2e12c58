package fuse

import (
	"syscall"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

// numbers is the one place where an errno gets the number that the kernel
// knows it by. A test refuses an errno without one.
var numbers = [posix.NumErrno]syscall.Errno{
	0:                  0,
	posix.EPERM:        syscall.EPERM,
	posix.ENOENT:       syscall.ENOENT,
	posix.EINTR:        syscall.EINTR,
	posix.EIO:          syscall.EIO,
	posix.ENXIO:        syscall.ENXIO,
	posix.E2BIG:        syscall.E2BIG,
	posix.EBADF:        syscall.EBADF,
	posix.EAGAIN:       syscall.EAGAIN,
	posix.ENOMEM:       syscall.ENOMEM,
	posix.EACCES:       syscall.EACCES,
	posix.EBUSY:        syscall.EBUSY,
	posix.EEXIST:       syscall.EEXIST,
	posix.EXDEV:        syscall.EXDEV,
	posix.ENODEV:       syscall.ENODEV,
	posix.ENOTDIR:      syscall.ENOTDIR,
	posix.EISDIR:       syscall.EISDIR,
	posix.EINVAL:       syscall.EINVAL,
	posix.EMFILE:       syscall.EMFILE,
	posix.ETXTBSY:      syscall.ETXTBSY,
	posix.EFBIG:        syscall.EFBIG,
	posix.ENOSPC:       syscall.ENOSPC,
	posix.ESPIPE:       syscall.ESPIPE,
	posix.EROFS:        syscall.EROFS,
	posix.EMLINK:       syscall.EMLINK,
	posix.ERANGE:       syscall.ERANGE,
	posix.EDEADLK:      syscall.EDEADLK,
	posix.ENAMETOOLONG: syscall.ENAMETOOLONG,
	posix.ENOLCK:       syscall.ENOLCK,
	posix.ENOSYS:       syscall.ENOSYS,
	posix.ENOTEMPTY:    syscall.ENOTEMPTY,
	posix.ELOOP:        syscall.ELOOP,
	posix.ENODATA:      syscall.ENODATA,
	posix.EOVERFLOW:    syscall.EOVERFLOW,
	posix.EOPNOTSUPP:   syscall.EOPNOTSUPP,
	posix.ETIMEDOUT:    syscall.ETIMEDOUT,
	posix.ESTALE:       syscall.ESTALE,
	posix.EDQUOT:       syscall.EDQUOT,
	posix.ECANCELED:    syscall.ECANCELED,
	posix.ENOKEY:       syscall.ENOKEY,
	posix.EKEYEXPIRED:  syscall.EKEYEXPIRED,
	posix.EKEYREVOKED:  syscall.EKEYREVOKED,
	posix.EHOSTDOWN:    syscall.EHOSTDOWN,
	posix.EPROTO:       syscall.EPROTO,
}

// number is the kernel's number for e: EIO for one that is not in the table.
func number(e posix.Errno) syscall.Errno {
	if e < posix.NumErrno && (e == 0 || numbers[e] != 0) {
		return numbers[e]
	}
	return syscall.EIO
}

// errnoOf is what an operation that ended with err answers. An error that
// bears no errno, or the errno 0, is EIO: an error is never a success.
//
// The kernel takes ENOSYS as "this filesystem never does that" and stops
// asking for the whole mount, which no error from below may bring about.
func errnoOf(err error) posix.Errno {
	if err == nil {
		return 0
	}
	switch e := posix.ErrnoOf(err); e {
	case 0:
		return posix.EIO
	case posix.ENOSYS:
		return posix.EOPNOTSUPP
	default:
		return e
	}
}

// status is errno for the kernel.
func status(e posix.Errno) raw.Status { return raw.Status(number(e)) }
