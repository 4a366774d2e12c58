// Package control is how the commands of one machine talk to the servers and
// mounts that run on it: one unix socket for each, in a folder that only their
// user may enter. There is no control file inside the namespace, and nothing
// here is reached from another machine.
//
//	s, err := control.Listen(control.Dir(os.Getuid(), getenv), "mount", "/mnt/ward", handler)
//	all := control.List(dir)
package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Dir is the folder of a user's sockets.
func Dir(uid int, getenv func(string) string) string {
	switch {
	case uid == 0:
		return "/run/wardfs"
	case getenv("XDG_RUNTIME_DIR") != "":
		return filepath.Join(getenv("XDG_RUNTIME_DIR"), "wardfs")
	}
	return fmt.Sprintf("/tmp/wardfs-%d", uid)
}

// Dirs are the folders in which a user may look: its own, and for root those of
// all users too.
func Dirs(uid int, getenv func(string) string) []string {
	dirs := []string{Dir(uid, getenv)}
	if uid == 0 {
		for _, pattern := range []string{"/run/wardfs-server/wardfs", "/run/user/*/wardfs", "/tmp/wardfs-[0-9]*"} {
			more, _ := filepath.Glob(pattern)
			dirs = append(dirs, more...)
		}
	}
	return dirs
}

// MakeDir makes the folder, or makes sure that it is ours alone.
func MakeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !st.IsDir() || !ok || int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a folder of this user", dir)
	}
	if st.Mode().Perm() != 0o700 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// socket is the name of the socket of a thing: what is mounted where, or which
// folder is served. A name is short whatever the path's length.
func socket(dir, kind, path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(dir, kind+"-"+hex.EncodeToString(sum[:8])+".sock")
}

// Server answers on one socket until Close.
type Server struct {
	http *http.Server
	path string
}

// Listen makes the socket and answers on it by h. One that a dead process left
// behind is replaced.
func Listen(dir, kind, path string, h http.Handler) (*Server, error) {
	if err := MakeDir(dir); err != nil {
		return nil, err
	}
	sweep(dir)
	name := socket(dir, kind, path)
	if c, err := net.DialTimeout("unix", name, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s: another process answers there: %w", name, syscall.EADDRINUSE)
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	s := &Server{&http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}, name}
	go s.http.Serve(l) //nolint:errcheck // it ends when Close says so
	return s, nil
}

// sweep removes the sockets of the dead, but no fresh one: between a socket's
// making and its first answer it looks dead too.
func sweep(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, "*.sock"))
	for _, name := range names {
		st, err := os.Lstat(name)
		if err != nil || time.Since(st.ModTime()) < time.Minute {
			continue
		}
		c, err := net.DialTimeout("unix", name, time.Second)
		if err == nil {
			c.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			os.Remove(name)
		}
	}
}

// Close ends the answering; requests under way get as long as ctx lets them.
func (s *Server) Close(ctx context.Context) {
	if s == nil {
		return
	}
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	os.Remove(s.path)
}

// Most is how much of an answer is read, in bytes.
const Most = 64 << 20

// ErrNobody is that nobody answers: it is not running, or another user's.
var ErrNobody = errors.New("nobody answers")

// Peer is a running server or mount.
type Peer struct{ path string }

// Find is the peer of that kind and path.
func Find(dir, kind, path string) Peer { return Peer{socket(dir, kind, path)} }

// List is all peers whose sockets lie in dir, the dead ones left out. A user's
// agent, which may have its socket there too, is none.
func List(dir string) (peers []Peer) {
	names, _ := filepath.Glob(filepath.Join(dir, "*-*.sock"))
	for _, name := range names {
		if c, err := net.DialTimeout("unix", name, time.Second); err == nil {
			c.Close()
			peers = append(peers, Peer{name})
		}
	}
	return peers
}

// Kind is "mount" or "server".
func (p Peer) Kind() string {
	kind, _, _ := strings.Cut(filepath.Base(p.path), "-")
	return kind
}

// Do asks the peer and writes what it answers to w. What the peer refuses is
// an error with its words.
func (p Peer) Do(ctx context.Context, method, path string, w io.Writer) error {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.path)
	}}
	defer t.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, method, "http://wardfs"+path, nil)
	if err != nil {
		return err
	}
	a, err := t.RoundTrip(r)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return ErrNobody
	case err != nil:
		return err
	}
	defer a.Body.Close()
	if a.StatusCode/100 != 2 {
		why, _ := io.ReadAll(io.LimitReader(a.Body, 4096))
		return errors.New(strings.TrimSpace(string(why)))
	}
	_, err = io.Copy(w, io.LimitReader(a.Body, Most))
	return err
}
