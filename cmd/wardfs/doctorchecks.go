package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/fuse"
	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/identity/nss"
)

// What a machine should have.
const (
	kernelLeast = "4.20" // FUSE protocol 7.28
	kernelGood  = "5.12" // 7.33: FUSE_HANDLE_KILLPRIV_V2
	filesGood   = 65536
	diskLow     = 1 << 30 // bytes
)

func checkMachine() []finding {
	return []finding{
		checkDevice(), checkHelper(), checkAllowOther(), checkKernel(), checkFiles(),
		checkMountHelpers(), checkDead(), checkClock(), checkNames(),
	}
}

// checkNames asks for a user and a group that every host has.
func checkNames() finding {
	h := nss.New(nss.Config{})
	_, err := h.Name(context.Background(), idmap.User, 0)
	if err == nil {
		_, err = h.Name(context.Background(), idmap.Group, 0)
	}
	switch {
	case err != nil:
		return warn("names", "try `getent passwd 0` and `getent group 0`; see /etc/nsswitch.conf", "users and groups can't be looked up: %v", err)
	case !nss.Full():
		return warn("names", "build with a C compiler (gcc, libc6-dev) if users come from sssd, LDAP or winbind", "users and groups are those of /etc/passwd and /etc/group alone")
	}
	return ok("names", "users and groups are looked up as /etc/nsswitch.conf says")
}

func checkDevice() finding {
	const name = "/dev/fuse"
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad("fuse", "modprobe fuse; in a container, give it the device and CAP_SYS_ADMIN", "%s is not there", name)
	case err != nil:
		return bad("fuse", "", "%s: %v", name, cause(err))
	case st.Mode()&fs.ModeCharDevice == 0:
		return bad("fuse", "mknod -m 666 /dev/fuse c 10 229", "%s is no device", name)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return bad("fuse", "as root: chmod 666 "+name+" (udev does so where it runs), or mount as root", "%s can't be opened by this user", name)
	case err != nil:
		return bad("fuse", "modprobe fuse; in a container, allow the device", "%s can't be opened: %v", name, cause(err))
	}
	f.Close()
	return ok("fuse", "%s is there", name)
}

func checkHelper() finding {
	path, err := exec.LookPath("fusermount3")
	if err != nil {
		if os.Geteuid() == 0 {
			return warn("fusermount3", "apt install fuse3", "is missing: only root can mount")
		}
		return bad("fusermount3", "apt install fuse3, or mount as root", "is missing, and a plain user can't mount without it")
	}
	st, err := os.Stat(path)
	if err == nil && st.Mode()&fs.ModeSetuid == 0 {
		return warn("fusermount3", "apt install --reinstall fuse3", "%s is not set-uid root: only root can mount", path)
	}
	return ok("fusermount3", "%s", path)
}

func checkAllowOther() finding {
	if os.Geteuid() == 0 {
		return ok("allow_other", "root needs no leave for it")
	}
	f, err := os.Open("/etc/fuse.conf")
	if err == nil {
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			if strings.TrimSpace(sc.Text()) == "user_allow_other" {
				return ok("allow_other", "/etc/fuse.conf allows it to users")
			}
		}
	}
	return warn("allow_other", "write user_allow_other into /etc/fuse.conf, if others shall use this user's mounts", "only this user can use mounts that this user makes")
}

func checkKernel() finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return bad("kernel", "", "%v", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	switch {
	case older(release, kernelLeast):
		return bad("kernel", "upgrade it", "Linux %s; FUSE has what wardfs needs from %s on", release, kernelLeast)
	case older(release, kernelGood):
		return warn("kernel", "upgrade it when you can", "Linux %s; from %s on set-id bits are cleared as on a local disk", release, kernelGood)
	}
	return ok("kernel", "Linux %s", release)
}

// older compares the first two numbers of kernel releases.
func older(a, b string) bool {
	var a1, a2, b1, b2 int
	_, _ = fmt.Sscanf(a, "%d.%d", &a1, &a2)
	_, _ = fmt.Sscanf(b, "%d.%d", &b1, &b2)
	return a1 < b1 || a1 == b1 && a2 < b2
}

func checkFiles() finding {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return bad("open files", "", "%v", err)
	}
	if l.Max < filesGood {
		return warn("open files", "raise the hard limit: ulimit -Hn, LimitNOFILE= of the unit", "at most %d; a busy server wants %d", l.Max, filesGood)
	}
	return ok("open files", "at most %d", l.Max)
}

func checkMountHelpers() finding {
	for _, dir := range []string{"/sbin", "/usr/sbin"} {
		if _, err := os.Stat(filepath.Join(dir, "mount.wardfs")); err == nil {
			return ok("mount(8)", "%s/mount.wardfs is there", dir)
		}
	}
	return warn("mount(8)", "make install, or link wardfs as /sbin/mount.wardfs", "mount -t wardfs and fstab will not work: no mount.wardfs in /sbin")
}

func checkDead() finding {
	all, err := fuse.Mounts()
	if err != nil {
		return bad("mounts", "", "%v", err)
	}
	var dead []string
	n := 0
	for _, m := range all {
		if m.Type != fsType {
			continue
		}
		n++
		if isDead(m.On) {
			dead = append(dead, m.On)
		}
	}
	if len(dead) > 0 {
		return bad("mounts", "wardfs umount "+dead[0], "the daemon was killed of %s", strings.Join(dead, ", "))
	}
	return ok("mounts", "%d of wardfs, none dead", n)
}

func checkClock() finding {
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil && state == unix.TIME_ERROR {
		return warn("clock", "run chrony or systemd-timesyncd", "the kernel says that it is not synchronised; certificates need the right time")
	}
	if time.Now().Year() < 2025 {
		return bad("clock", "set it", "it is %s, they say", time.Now().Format(time.DateOnly))
	}
	return ok("clock", "%s", time.Now().UTC().Format(time.RFC3339))
}

func checkUsualPorts() (all []finding) {
	d := config.Default()
	for _, addr := range []string{d.Listen, d.Metrics.Listen} {
		all = append(all, checkPort(addr, false))
	}
	return all
}

// checkPort says whether a server could listen there.
func checkPort(addr string, needed bool) finding {
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		l.Close()
		return ok("port", "%s is free", addr)
	case errors.Is(err, syscall.EADDRINUSE) && !needed:
		return ok("port", "%s is in use; `wardfs dev` would take another", addr)
	case errors.Is(err, syscall.EADDRINUSE):
		return warn("port", "if that is not this server: `ss -ltnp` shows what it is", "%s is in use", addr)
	}
	return bad("port", "check listen and metrics.listen", "can't listen on %s: %v", addr, cause(err))
}

// checkConfigFile checks a server's configuration and what it names.
func checkConfigFile(file string) []finding {
	c := config.Default()
	if err := first(c.File(file), c.Check()); err != nil {
		var all []finding
		for _, one := range flatten(err) {
			all = append(all, bad("config", hint(one), "%v", one))
		}
		return all
	}
	all := []finding{ok("config", "%s", file), checkMaterial(loadCerts(c.TLS, nil))}
	if c.Metrics.TLS.Apart() {
		all = append(all, checkMaterial(loadCerts(c.TLS.Other(c.Metrics.TLS), nil)))
	}
	for _, w := range c.Warnings() {
		all = append(all, warn("config", "", "%s", w))
	}
	all = append(all, checkPort(c.Listen, true))
	if c.Metrics.Listen != "" {
		all = append(all, checkPort(c.Metrics.Listen, true))
	}
	for _, dir := range []string{c.Dir, orJoin(c.Engine.Dir, c.Dir, "engine"), orJoin(c.Chunk.Dir, c.Dir, "chunks")} {
		all = append(all, checkFolder(dir))
	}
	return all
}

// checkMaterial checks certificates that were read, or why they were not.
func checkMaterial(s *certs.Store, err error) finding {
	switch {
	case err != nil:
		return bad("certificate", hint(err), "%v", err)
	case len(s.Warnings()) > 0:
		return warn("certificate", "", "%s", strings.Join(s.Warnings(), "; "))
	case s.NotAfter().IsZero():
		return ok("certificate", "none of our own")
	}
	return ok("certificate", "good until %s", s.NotAfter().Format(time.DateOnly))
}

// checkFolder checks that a folder, or the first above it that is there, can
// be written, is for its owner alone, and has room.
func checkFolder(dir string) finding {
	at := dir
	st, err := os.Stat(at)
	for errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		st, err = os.Stat(at)
	}
	var room unix.Statfs_t
	switch {
	case err != nil:
		return bad("folder", "", "%s: %v", dir, cause(err))
	case unix.Access(at, unix.W_OK) != nil:
		return bad("folder", "run as a user who may write there, or chown it", "%s can't be written by this user", at)
	case at == dir && st.Mode().Perm()&0o077 != 0:
		return warn("folder", "chmod 700 "+dir, "%s can be entered by others: who reads it reads all files", dir)
	}
	if err := unix.Statfs(at, &room); err != nil {
		return bad("folder", "", "%s: %v", dir, err)
	}
	free := room.Bavail * uint64(room.Bsize)
	if free < diskLow {
		return warn("folder", "make room", "%s: only %s free", dir, human(free))
	}
	return ok("folder", "%s, %s free", dir, human(free))
}

// checkServers checks the way to each server, as a mount would go it.
func checkServers(ctx context.Context, m mounting) (all []finding) {
	o := m.options
	store, err := loadMaterial(o, nil)
	all = append(all, checkMaterial(store, err))
	if err != nil {
		return all
	}
	for _, server := range m.spec.Servers {
		var peer time.Time
		c := store.Client("")
		check := c.VerifyConnection // pins, or a chain without a name
		c.VerifyConnection = func(s tls.ConnectionState) error {
			peer = s.PeerCertificates[0].NotAfter
			if check != nil {
				return check(s)
			}
			return nil
		}
		if err := certs.Probe(ctx, server, c); err != nil {
			all = append(all, bad("server", hint(err), "%v", err))
			continue
		}
		if left := time.Until(peer); left < certs.Renew {
			all = append(all, warn("server", "renew it there", "%s: its certificate expires at %s", server, peer.Format(time.DateOnly)))
			continue
		}
		all = append(all, ok("server", "%s answers, its certificate is good until %s", server, peer.Format(time.DateOnly)))
	}
	return all
}
