// Package audit writes down who did what: one line for each operation that the
// filter lets through, in a file that only its owner, and a group if asked, may
// read. docs/audit.md has the fields.
//
// The caller of [Log.Put] pays for a copy of the record and no more: one
// goroutine finds the paths, writes the lines and turns the files over. What
// can't be written is never dropped in silence: it holds the callers up or is
// counted, as the configuration says, and the log itself says what is missing.
//
// It refuses to judge: whether an operation is allowed was decided elsewhere.
//
//	l, err := audit.Open(audit.Config{Path: "/var/lib/wardfs/audit.log", Where: paths})
//	if l.Wants("mkdir", errno) { l.Put(audit.Record{…}) }
package audit

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wardfs/wardfs/posix"
)

// Config is what a Log needs. The zero value of all but Path is useful.
type Config struct {
	Path   string // of the file; older ones lie beside it
	Format Format // default HDFS
	Mode   uint32 // of the files; default 0600

	// Operations are the names of operations and groups of them that are
	// written; nil is the default: [DefaultOperations]. One that was denied is
	// written whatever it is. Results are "succeeded", "failed" and "denied";
	// nil is all.
	Operations, Results []string

	MaxSize int64         // bytes at which a file is full; default 100 MiB
	MaxAge  time.Duration // how long a file is written; default 0, for ever
	Keep    int           // how many full files are kept; default 10
	KeepFor time.Duration // but none with younger lines goes, however many there are; default 0

	Queue   int                   // records that wait for the writer; default 16384
	OnFull  Policy                // when so many wait; default Block
	OnError Policy                // when the file can't be written; default Drop
	Names   Names                 // of owners and groups; numbers without
	Where   PathsOf               // the paths of inodes; without one each is "ino:N"
	Log     *slog.Logger          // default none
	Metrics prometheus.Registerer // default none
	Now     func() time.Time

	fault func(n int) (int, error) // of tests: how many of n bytes can be written
}

// PathsOf answers a path of each of the inodes as of now, "" where there is none.
// They come many at once: to begin a look at the tree costs more than the look.
type PathsOf func([]posix.Ino) []string

// Names are what the server calls users and groups; "" is no name.
type Names struct {
	User  func(posix.UID) string
	Group func(posix.GID) string
}

// Policy is what becomes of a record that can't be written now.
type Policy uint8

// The policies. Each field has its own zero value; see Config.
const (
	Default Policy = iota
	Block          // it waits, and the operation with it
	Drop           // it is lost, and counted
)

// Record is one operation.
type Record struct {
	Time   time.Time // when it was answered
	Took   time.Duration
	Op     string // "mkdir"
	Errno  posix.Errno
	Who    Who
	Src    Ref
	Dst    Ref
	Ino    posix.Ino // of Src, where it is known
	Perm   Perm      // of Src, after the operation
	Zone   string    // room for what is to come
	KeyVer uint64
}

// Who is on whose behalf: the same for all operations of a session, but for the
// caller.
type Who struct {
	User    string // the principal; empty: nobody has been authenticated
	Via     string // who acts for it, if that is another
	Auth    string // by which mechanism that was proven
	Caller  Caller
	Peer    string // address
	Session uint64
	Client  string // what the client says of itself
}

// Caller is whom the server has checked. Stated says that a trusted client has
// named it: then it and not the principal is the user, via the principal.
type Caller struct {
	Stated bool
	UID    posix.UID
	GID    posix.GID
	Known  bool // there is one at all
}

// Ref is what an operation is about: a name in a directory, an inode, or a text,
// as the target of a symbolic link. The zero Ref is nothing.
type Ref struct {
	Dir  posix.Ino
	Name []byte // in Dir; not to be changed afterwards
	Ino  posix.Ino
	Text []byte
}

// Perm is an owner, a group and a mode.
type Perm struct {
	Known bool
	UID   posix.UID
	GID   posix.GID
	Mode  posix.Mode
}

// Denied reports whether an errno says that the operation was not allowed,
// rather than that it could not be done.
func Denied(e posix.Errno) bool {
	switch e {
	case posix.EACCES, posix.EPERM, posix.EROFS, posix.EKEYEXPIRED, posix.EKEYREVOKED:
		return true
	}
	return false
}

// Log is an audit log that is written. Its methods are safe for concurrent use,
// and do nothing on a nil Log.
type Log struct {
	c      Config
	filter filter
	log    *slog.Logger
	m      *metrics
	queue  chan Record
	lost   atomic.Uint64 // since that was last written down
	reopen chan struct{}

	mu     sync.RWMutex // held to put; closing takes it whole
	closed bool
	once   sync.Once
	quit   chan struct{} // closed when what can't be written is to be given up
	done   chan struct{}
}

// Open opens the file, or makes it, and begins to write. It answers what is
// wrong with the configuration or the file.
func Open(c Config) (*Log, error) {
	c.defaults()
	f, err := newFilter(c.Operations, c.Results)
	if err != nil {
		return nil, err
	}
	l := &Log{
		c: c, filter: f, log: c.Log, m: newMetrics(c.Metrics), queue: make(chan Record, c.Queue),
		reopen: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	l.m.watch(c.Metrics, func() int { return len(l.queue) })
	w, err := newWriter(l)
	if err != nil {
		return nil, &OpenError{c.Path, err}
	}
	go w.run()
	return l, nil
}

// OpenError is why an audit log can't be written from the start.
type OpenError struct {
	Path string
	Err  error
}

// Error reads "audit log /var/log/x: permission denied".
func (e *OpenError) Error() string { return "audit log " + e.Path + ": " + e.Err.Error() }
func (e *OpenError) Unwrap() error { return e.Err }

// Hint is the next step.
func (e *OpenError) Hint() string {
	return "audit.file names a plain file in a folder that the server may write; audit.enabled=false writes none"
}

func (c *Config) defaults() {
	set := func(p *Policy, v Policy) {
		if *p == Default {
			*p = v
		}
	}
	set(&c.OnFull, Block)
	set(&c.OnError, Drop)
	if c.Mode == 0 {
		c.Mode = 0o600
	}
	if c.MaxSize == 0 {
		c.MaxSize = 100 << 20
	}
	if c.Keep == 0 {
		c.Keep = 10
	}
	if c.Queue == 0 {
		c.Queue = 16384
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Wants reports whether a record of op with that result would be written.
func (l *Log) Wants(op string, e posix.Errno) bool { return l != nil && l.filter.wants(op, e) }

// WantsAny reports whether one could be, whatever the result.
func (l *Log) WantsAny(op string) bool { return l != nil && l.filter.wantsAny(op) }

// Put writes a record down, soon: see linger. It waits only while the queue is full and
// the policy is Block.
func (l *Log) Put(r Record) {
	if !l.Wants(r.Op, r.Errno) {
		return
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		l.drop("closed")
		return
	}
	select {
	case l.queue <- r:
		return
	default:
	}
	if l.c.OnFull == Drop {
		l.drop("queue")
		return
	}
	began := time.Now()
	l.queue <- r // the writer empties it until it is closed, whatever befalls the file
	l.m.blocked.Add(time.Since(began).Seconds())
}

// drop counts a record that is lost.
func (l *Log) drop(why string) {
	l.lost.Add(1)
	l.m.lost.WithLabelValues(why).Inc()
}

// Reopen opens the file by its name again, after somebody has moved it away.
func (l *Log) Reopen() {
	if l == nil {
		return
	}
	select {
	case l.reopen <- struct{}{}:
	default: // it will be
	}
}

// giveUp is how long Close waits for a file that can't be written.
const giveUp = 5 * time.Second

// Close writes down what waits. What can't be written for some seconds is lost,
// and said in the server's log.
func (l *Log) Close() {
	if l == nil {
		return
	}
	late := time.AfterFunc(giveUp, func() { l.once.Do(func() { close(l.quit) }) })
	defer late.Stop()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	<-l.done
}
