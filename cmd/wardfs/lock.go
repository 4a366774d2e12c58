package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dirLock keeps two servers off one data folder. The kernel gives it back when
// the process ends, however it ends.
type dirLock struct{ f *os.File }

// lockDir makes the folder if need be, and takes its lock.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fail(exitConfig, "choose another folder (dir), or run as a user who may write there", "data folder %s: %w", dir, cause(err))
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fail(exitConfig, "choose another folder (dir), or run as a user who may write there", "data folder %s: %w", dir, cause(err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if err != syscall.EWOULDBLOCK {
			return nil, fail(exitConfig, "the folder must be on a local disk", "data folder %s can't be locked: %w", dir, err)
		}
		who := ""
		if pid, _ := io.ReadAll(io.LimitReader(f, 16)); len(pid) > 0 {
			who = " by process " + strings.TrimSpace(string(pid))
		}
		return nil, fail(exitInUse, "end that one first, or choose another folder", "data folder %s is in use%s", dir, who)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	return &dirLock{f}, nil
}

// Unlock gives the lock back.
func (l *dirLock) Unlock() {
	if l != nil {
		l.f.Close()
	}
}
