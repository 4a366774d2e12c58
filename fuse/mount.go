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
//     clear them. Without it the kernel sends a chmod as the stranger who
//     writes, which the server refuses; and it asks for security.capability
//     before each write.
//   - ASYNC_DIO: the parts of a large direct read or write go side by side.
const capabilities = raw.CAP_DONT_MASK | raw.CAP_ATOMIC_O_TRUNC | raw.CAP_EXPORT_SUPPORT |
	raw.CAP_READDIRPLUS_AUTO | raw.CAP_HANDLE_KILLPRIV_V2 | raw.CAP_ASYNC_DIO

// disabled keeps the kernel between its two ways of data cache control: with
// AUTO_INVAL_DATA it would drop a file's pages after each own write, because
// the time changed; with EXPLICIT_INVAL_DATA it would show zeros where another
// mount appended. With neither it drops them when the size changes under it
// and when an open does not say to keep them.
const disabled = raw.CAP_EXPLICIT_INVAL_DATA

// Mount mounts on dir and answers when the kernel and the server have answered
// each other there. Each error says in one line what is wrong.
func Mount(dir string, c Config) (*Mounted, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	s := newServer(c)
	root := os.Geteuid() == 0
	if err := checkMount(dir, s.Options, root); err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	lib, err := raw.NewServer(s, dir, s.mountOptions(root))
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, explain(err, root))
	}
	m := &Mounted{notifier: newNotifier(lib, &s.known, s.Log), dir: dir, root: root, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		lib.Serve()
		m.notifier.stop()
	}()
	// The root's attributes come from the server: only now is it usable.
	if err := lib.WaitMount(); err != nil && !errors.Is(err, unix.EACCES) {
		err = errors.Join(fmt.Errorf("mount %s: the root does not answer: %w", dir, err), m.Unmount(true))
		return nil, err
	}
	if n := s.Options.ReadAhead; n > 0 && root {
		if err := setReadAhead(dir, n); err != nil {
			s.Log.Debug("read-ahead not raised", "err", err)
		}
	}
	return m, nil
}

// mountOptions are those of the library.
func (s *server) mountOptions(root bool) *raw.MountOptions {
	o := s.Options
	opts := &raw.MountOptions{
		AllowOther:               o.AllowOther && (root || mayAllowOther("/etc/fuse.conf")),
		FsName:                   s.Source,
		Name:                     fsName,
		MaxWrite:                 o.MaxWrite,
		MaxBackground:            maxBackground,
		MaxInflightRequestBytes:  maxInflight,
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        capabilities,
		DisabledCapabilities:     disabled,
		DisableSplice:            true, // reads come from memory
		DirectMountStrict:        root,
		Debug:                    o.Debug,
		Logger:                   slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	if !o.NoDefaultPermissions {
		opts.Options = append(opts.Options, "default_permissions")
	}
	for _, x := range []struct {
		on   bool
		flag uintptr
		word string
	}{
		{o.ReadOnly, unix.MS_RDONLY, "ro"},
		{o.NoSuid, unix.MS_NOSUID, "nosuid"},
		{o.NoDev, unix.MS_NODEV, "nodev"},
		{o.NoExec, unix.MS_NOEXEC, "noexec"},
		{o.NoAtime, unix.MS_NOATIME, "noatime"},
	} {
		switch {
		case !x.on:
		case root:
			opts.DirectMountFlags |= x.flag
		default:
			opts.Options = append(opts.Options, x.word)
		}
	}
	if root && opts.DirectMountFlags == 0 {
		opts.DirectMountFlags = unix.MS_MGC_VAL // the library takes zero for nosuid,nodev
	}
	return opts
}

// Wait returns when the filesystem is no longer mounted and no process uses
// it any more.
func (m *Mounted) Wait() { <-m.done }

// Dir is where it is mounted, as an absolute path.
func (m *Mounted) Dir() string { return m.dir }

// Unmount takes the filesystem out of the tree and waits for the last request.
// While a process works in it or holds a file open the answer is posix.EBUSY;
// with lazyFallback it is then taken out of sight, answers nil, and goes on
// for those who use it: Wait tells when they are done.
func (m *Mounted) Unmount(lazyFallback bool) error {
	err := m.unmount(false)
	// The last close is on its way for a moment after the process has ended.
	for wait := 5 * time.Millisecond; errors.Is(err, unix.EBUSY) && wait < 100*time.Millisecond; wait *= 2 {
		time.Sleep(wait)
		err = m.unmount(false)
	}
	switch {
	case err == nil:
		m.Wait()
		return nil
	case !lazyFallback:
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
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
