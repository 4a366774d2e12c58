// Package fuse is the kernel's side of a mount: it turns what the kernel asks
// of /dev/fuse into calls of a [posix.Namespace] and of the open files of
// package client/file, and their errors into the numbers of errno(3). Our
// inode number is the kernel's node id.
//
// It decides nothing. The server judges every operation for the caller that
// the kernel names; the kernel judges too, from the same attributes, because
// a mount has default_permissions unless told otherwise. What it refuses to do
// is remember attributes or names: the kernel holds them for the timeouts of
// [Options] and forgets what it changes by itself.
//
//	m, err := fuse.Mount("/mnt/ward", fuse.Config{
//		As:     session.As,
//		Files:  files,
//		Source: "server:/",
//	})
//	…
//	m.Wait()
package fuse

import (
	"log/slog"
	"time"

	"github.com/wardfs/wardfs/client/file"
	"github.com/wardfs/wardfs/posix"
)

// Config is what a mount is made of. As and Files are needed; the rest has
// defaults that work.
type Config struct {
	// As answers the namespace as one caller sees it. It is asked once for
	// each request and must be cheap.
	As func(posix.Cred) posix.Namespace

	// Files holds the open files of the mount and what is written but not
	// yet committed.
	Files *file.Files

	// Source is shown in /proc/mounts as the device: "server:/path".
	Source string

	Options Options

	// Identity tells whom a request is done for. Nil is [Trusted], with the
	// caller's supplementary groups found when they matter; what any other
	// function answers is final.
	Identity Identity

	// PerCaller says that As answers a session of its own for each user: what
	// was opened is known in its opener's session alone, and what others do with
	// it goes there.
	PerCaller bool

	// Log gets one line for each request that failed for a reason of ours,
	// and for each panic. Nil discards.
	Log *slog.Logger

	// Observe is told of every request that was answered: the operation's
	// name in lower case, its errno (0 for none) and how long it took. Nil is
	// nobody. It is called concurrently.
	Observe func(op string, errno posix.Errno, d time.Duration)
}

// Options is how the kernel is told to treat the mount. The zero value is the
// default of each.
type Options struct {
	// AllowOther lets every local user in, each under its own name. A plain
	// user gets it only if /etc/fuse.conf has user_allow_other; otherwise the
	// mount is made without.
	AllowOther bool

	ReadOnly bool // ro
	NoSuid   bool // nosuid; always so for a plain user
	NoDev    bool // nodev; always so for a plain user
	NoExec   bool // noexec
	NoAtime  bool // noatime
	NonEmpty bool // mount over a directory that has entries

	// NoDefaultPermissions (permissions=server) leaves the judging to the
	// server alone. Names that one user looked up must then not be walked by
	// another, so the timeouts below count as none. The kernel opens devices,
	// fifos and sockets without asking anyone, so that NoDev is on.
	NoDefaultPermissions bool

	MaxWrite int // bytes of one read or write request; 0 is 1 MiB

	// ReadAhead is how far the kernel reads ahead of a sequential reader, in
	// bytes: 0 is 4 MiB, less than 0 leaves the kernel's 128 KiB. Only root
	// may raise it.
	ReadAhead int

	// How long the kernel may use attributes and names without asking, unless
	// it is told before by Recall that others have changed them: 0 is 30
	// seconds, less than 0 not at all. A name that is not there is remembered
	// for Negative only, and 0 is not at all.
	AttrTimeout     time.Duration
	EntryTimeout    time.Duration
	NegativeTimeout time.Duration

	// InterruptGrace is how long a request goes on after its caller got a
	// signal that it handles: 0 is until it is answered, less than 0 not at
	// all. On a local disk such a signal interrupts nothing, and few programs
	// expect EINTR of a stat(2) or can bear it of an fsync(2). A signal that
	// kills the caller interrupts at once.
	InterruptGrace time.Duration

	Debug bool // log every message to and from the kernel, names included
}

const (
	defaultMaxWrite  = 1 << 20
	defaultReadAhead = 4 << 20
	defaultTimeout   = 30 * time.Second

	// blockSize is the st_blksize of files: the buffer that stdio and many
	// tools choose, hence the size of their requests.
	blockSize = 64 << 10
	// statfsUnit is the unit in which statfs(2) counts.
	statfsUnit = 4096

	// maxBackground is how many requests of readahead and direct I/O the
	// kernel keeps under way.
	maxBackground = 64
	// maxInflight bounds the memory of requests under way, in bytes. Beyond
	// it requests wait in the kernel.
	maxInflight = 256 << 20
)

// fill replaces what was left to default.
func (c Config) fill() Config {
	o := &c.Options
	o.MaxWrite = orDefault(o.MaxWrite, defaultMaxWrite)
	o.ReadAhead = orDefault(o.ReadAhead, defaultReadAhead)
	o.AttrTimeout = orDefault(o.AttrTimeout, defaultTimeout)
	o.EntryTimeout = orDefault(o.EntryTimeout, defaultTimeout)
	o.NegativeTimeout = max(o.NegativeTimeout, 0)
	if o.NoDefaultPermissions {
		o.AttrTimeout, o.EntryTimeout, o.NegativeTimeout = 0, 0, 0
		o.NoDev = true
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// orDefault is d for 0, 0 for what is below it, else v.
func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return max(v, 0)
}
