package main

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// harden keeps what a daemon has in memory there: no core dump, and no other
// process of the same user that looks in. Promise 5 of DESIGN 2.
func harden(log *slog.Logger) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		log.Warn("core dumps can't be turned off", "err", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		log.Warn("this process can't be made undumpable", "err", err)
	}
}

// raiseFiles lets this process open as many files as it may: a store and a
// connection each take one.
func raiseFiles(log *slog.Logger) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	if err == nil && l.Cur < l.Max {
		l.Cur = l.Max
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
	}
	if err != nil {
		log.Warn("the limit on open files can't be raised", "err", err)
	}
}
