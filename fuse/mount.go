package fuse

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
)

// fsName is the filesystem's type: /proc/mounts shows "fuse.wardfs".
const fsName = "wardfs"

// Mounted is a filesystem that is mounted.
type Mounted struct {
	*notifier
	dir  string
	root bool // mounted and unmounted by the system call, not by fusermount3
	done chan struct{}
}

// capabilities are asked for beside the library's own choice, as far as the
// kernel has them.
//
//   - DONT_MASK: the umask comes beside the mode, and the server applies it.
//   - ATOMIC_O_TRUNC: open truncates, so that no other open comes between.
//   - EXPORT_SUPPORT: the dots can be looked up, for knfsd.
//   - READDIRPLUS_AUTO: attributes only for who seems to want them.
//   - HANDLE_KILLPRIV_V2: the kernel says when set-id bits are to go, and we
//     clear them (see SetAttr, Open and Write). Without it the kernel sends a
//     chmod as the stranger who writes, which the server refuses; and it asks
//     for security.capability before each write.
//   - ASYNC_DIO: the parts of a large direct read or write go side by side.
//   - DIRECT_IO_ALLOW_MMAP: a file open for appending can be mapped.
const capabilities = raw.CAP_DONT_MASK | raw.CAP_ATOMIC_O_TRUNC | raw.CAP_EXPORT_SUPPORT |
	raw.CAP_READDIRPLUS_AUTO | raw.CAP_HANDLE_KILLPRIV_V2 | raw.CAP_ASYNC_DIO | raw.CAP_DIRECT_IO_ALLOW_MMAP

// disabled keeps the kernel between its two ways of data cache control: with
// AUTO_INVAL_DATA it would drop a file's pages after each own write, because
// the time changed; with EXPLICIT_INVAL_DATA it would show zeros where another
// mount appended. With neither it drops them when the size changes under it
// and when an open does not say to keep them.
//
// PASSTHROUGH would serve files that lie on a local filesystem.
const disabled = raw.CAP_EXPLICIT_INVAL_DATA | raw.CAP_PASSTHROUGH

// Mount mounts on dir and answers when the kernel and the server have answered
// each other there. Each error says in one line what is wrong.
func Mount(dir string, c Config) (*Mounted, error) {
	m, err := mountAt(dir, c)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	return m, nil
}

func mountAt(dir string, c Config) (*Mounted, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := newServer(c)
	root := os.Geteuid() == 0
	if err := checkMount(dir, s.Options, root); err != nil {
		return nil, err
	}
	s.Files.Park()
	where := dir
	if root {
		if where, err = s.mountDirect(dir); err != nil {
			return nil, explain(err, root)
		}
	}
	lib, err := raw.NewServer(s, where, s.mountOptions())
	if err != nil {
		if root {
			err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH))
		}
		return nil, explain(err, root)
	}
	m := &Mounted{notifier: newNotifier(lib, s.Log, &s.doubts, s.believed), dir: dir, root: root, done: make(chan struct{})}
	s.settle = m.notifier.settle
	s.outdated = func(ino posix.Ino) { m.InvalidateInode(ino, 0, 0) }
	s.mapsDirect = lib.KernelSettings().Flags64()&raw.CAP_DIRECT_IO_ALLOW_MMAP != 0
	go func() {
		defer close(m.done)
		lib.Serve()
		m.notifier.stop()
	}()
	if err := m.ready(lib); err != nil {
		return nil, errors.Join(fmt.Errorf("the root does not answer: %w", err), m.Detach())
	}
	if n := s.Options.ReadAhead; n > 0 && root {
		if err := setReadAhead(dir, n); err != nil {
			s.Log.Debug("read-ahead not raised", "err", err)
		}
	}
	return m, nil
}

// ready waits for the root's attributes, which come from the server: only then
// is the mount usable. A root that this user may not enter is an answer too.
//
// It asks for the library's own file and polls it, which the library answers
// ENOSYS: afterwards no poll(2) of this process on a file of the mount waits
// for this process to answer.
func (m *Mounted) ready(lib *raw.Server) error {
	err := lib.WaitMount()
	if err == nil && m.root { // the library cannot know where it is mounted
		var fd int
		if fd, err = unix.Open(filepath.Join(m.dir, ".go-fuse-epoll-hack"), unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			err = unix.Close(fd)
		}
	}
	if errors.Is(err, unix.EACCES) {
		return nil
	}
	return err
}

// mountDirect mounts by the system call, and answers by which name the library
// takes the connection over. The library would do it too, but hand the
// connection down to every child process, and then a mount outlives its server
// and hangs.
func (s *server) mountDirect(dir string) (name string, err error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if fd == 0 { // stdin was closed; the library takes 0 for no number
		if fd, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return "", err
		}
		unix.Close(0)
	}
	o, flags := s.Options, uintptr(0)
	for _, w := range o.words() {
		flags |= w.flag
	}
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d",
		fd, unix.S_IFDIR, os.Geteuid(), os.Getegid(), o.MaxWrite)
	if !o.NoDefaultPermissions {
		data += ",default_permissions"
	}
	if o.AllowOther {
		data += ",allow_other"
	}
	source := s.Source
	if source == "" {
		source = fsName
	}
	if err := unix.Mount(source, dir, "fuse."+fsName, flags, data); err != nil {
		return "", err
	}
	return fmt.Sprintf("/dev/fd/%d", fd), nil
}

// word is a mount option of every filesystem, for fusermount3 and for mount(2).
type word struct {
	text string
	flag uintptr
}

// words are the options that are on.
func (o Options) words() []word {
	var on []word
	for _, x := range []struct {
		on bool
		word
	}{
		{o.ReadOnly, word{"ro", unix.MS_RDONLY}},
		{o.NoSuid, word{"nosuid", unix.MS_NOSUID}},
		{o.NoDev, word{"nodev", unix.MS_NODEV}},
		{o.NoExec, word{"noexec", unix.MS_NOEXEC}},
		{o.NoAtime, word{"noatime", unix.MS_NOATIME}},
	} {
		if x.on {
			on = append(on, x.word)
		}
	}
	return on
}

// mountOptions are those of the library. What concerns mounting itself is for
// fusermount3.
func (s *server) mountOptions() *raw.MountOptions {
	o := s.Options
	opts := &raw.MountOptions{
		AllowOther:               o.AllowOther && mayAllowOther("/etc/fuse.conf"),
		FsName:                   s.Source,
		Name:                     fsName,
		MaxWrite:                 o.MaxWrite,
		EnableLocks:              true,
		MaxBackground:            maxBackground,
		MaxInflightRequestBytes:  maxInflight,
		ExplicitDataCacheControl: true,
		EnableAcl:                !o.NoDefaultPermissions, // FUSE_POSIX_ACL implies default_permissions
		ExtraCapabilities:        capabilities,
		DisabledCapabilities:     disabled,
		DisableSplice:            true, // reads come from memory
		Debug:                    o.Debug,
		Logger:                   slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	if !o.NoDefaultPermissions {
		opts.Options = append(opts.Options, "default_permissions")
	}
	for _, w := range o.words() {
		opts.Options = append(opts.Options, w.text)
	}
	return opts
}

// Wait returns when the filesystem is no longer mounted and no process uses
// it any more.
func (m *Mounted) Wait() { <-m.done }

// Dir is where it is mounted, as an absolute path.
func (m *Mounted) Dir() string { return m.dir }

// Unmount takes the filesystem out of the tree. While a process works in it or
// holds a file open the answer is posix.EBUSY. Wait tells when the last request
// is answered, which may wait for the server.
func (m *Mounted) Unmount() error {
	err := m.unmount(false)
	// The last close is on its way for a moment after the process has ended.
	for wait := 5 * time.Millisecond; errors.Is(err, unix.EBUSY) && wait < 100*time.Millisecond; wait *= 2 {
		time.Sleep(wait)
		err = m.unmount(false)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	return nil
}

// Detach takes the filesystem out of sight and answers at once. It goes on for
// those who use it: Wait tells when they are done.
func (m *Mounted) Detach() error {
	if err := m.unmount(true); err != nil {
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	return nil
}

// unmount does it once. What is not mounted any more is no error.
func (m *Mounted) unmount(lazy bool) error {
	select {
	case <-m.done:
		return nil
	default:
	}
	if m.root {
		flags := unix.UMOUNT_NOFOLLOW
		if lazy {
			flags |= unix.MNT_DETACH
		}
		return unix.Unmount(m.dir, flags)
	}
	return fusermount(m.dir, lazy)
}

// fusermount unmounts for a plain user. Its message is all it gives.
func fusermount(dir string, lazy bool) error {
	args := []string{"-u"}
	if lazy {
		args = append(args, "-z")
	}
	bin, err := fusermountBinary()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd := exec.Command(bin, append(args, "--", dir)...)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		msg := strings.TrimSpace(stderr.String())
		if fstype, _ := mountedOn(dir); fstype != "" { // our own mount: what else could stop it
			return fmt.Errorf("%s: %w", msg, unix.EBUSY)
		}
		return errors.New(msg)
	}
	return nil
}
