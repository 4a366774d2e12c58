package fuse

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	raw "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/wardfs/wardfs/posix"
)

func TestFatal(t *testing.T) {
	set := func(field, mask string) string {
		return strings.Replace(someStatus, field+":\t0000000000000000", field+":\t"+mask, 1)
	}
	const term = "0000000000004000" // SIGTERM
	for _, c := range []struct {
		name   string
		want   bool
		status string
	}{
		{"nothing pending", false, someStatus},
		{"killed", true, set("SigPnd", "0000000000000100")},
		{"terminated, by default", true, set("ShdPnd", term)},
		{"child ended, by default", false, set("ShdPnd", "0000000000010000")},
		{"preempted by the Go runtime", false, set("SigPnd", "0000000000400000")},
		{"no status", false, ""},
	} {
		if got := fatal(c.status); got != c.want {
			t.Errorf("%s: fatal is %v, want %v", c.name, got, c.want)
		}
	}
	for _, field := range []string{"SigBlk", "SigIgn", "SigCgt"} {
		st := strings.Replace(set("ShdPnd", term), field+":\t0000000000000000", field+":\t"+term, 1)
		if fatal(st) {
			t.Errorf("a signal in %s kills", field)
		}
	}
}

func TestDying(t *testing.T) {
	if dying(0) || dying(uint32(os.Getpid())) {
		t.Error("pid 0 or this process is dying")
	}
	if !dying(1<<32 - 1) {
		t.Error("a thread that is not there waits for its answer")
	}
}

// TestRequestContext interrupts a request whose caller has gone, one whose
// caller handles the signal, and one that has been answered.
func TestRequestContext(t *testing.T) {
	open := func(pid uint32, grace, linger time.Duration) *request {
		c := make(chan struct{})
		close(c)
		return &request{cancel: c, pid: pid, grace: grace, linger: linger}
	}
	const gone, unknown = 1<<32 - 1, 0
	for _, c := range []struct {
		name                   string
		pid                    uint32
		atLeast, grace, linger time.Duration
	}{
		{"killed", gone, 0, 0, 0},
		{"killed while closing", gone, 30 * time.Millisecond, 0, 30 * time.Millisecond},
		{"handled, after the grace", unknown, 30 * time.Millisecond, 30 * time.Millisecond, 0},
		{"handled, without grace", unknown, 0, -1, time.Hour},
	} {
		r := open(c.pid, c.grace, c.linger)
		start := time.Now()
		<-r.Done()
		if took := time.Since(start); took < c.atLeast || r.Err() != context.Canceled {
			t.Errorf("%s: ended after %v with %v", c.name, took, r.Err())
		}
	}

	r := open(unknown, 0, 0) // handled: goes on until it is answered
	child, stop := context.WithCancel(r)
	defer stop()
	if r.Err() != nil || child.Err() != nil || r.interrupts(time.Hour) {
		t.Error("a signal that is handled ends the request")
	}
	r.end()
	<-child.Done() // what was begun for the request ends with it
	if r.Err() != context.Canceled {
		t.Error("not over after its end")
	}
}

// TestAnswer lets a handler panic: the mount answers EIO and goes on.
func TestAnswer(t *testing.T) {
	type seen struct {
		op    string
		errno posix.Errno
	}
	var got []seen
	s := newServer(Config{Observe: func(op string, e posix.Errno, d time.Duration) { got = append(got, seen{op, e}) }})
	h := &raw.InHeader{NodeId: 1}
	for _, c := range []struct {
		want raw.Status
		f    func(context.Context) error
	}{
		{raw.OK, func(context.Context) error { return nil }},
		{raw.ENOENT, func(context.Context) error { return posix.E("lookup", posix.ENOENT, nil) }},
		{raw.EIO, func(context.Context) error { return errors.New("no errno") }},
		{raw.EIO, func(context.Context) error { panic("a bug") }},
		{raw.EIO, func(context.Context) error { var none []error; return none[len(none)] }},
	} {
		if st := s.answer("op", h, nil, c.f); st != c.want {
			t.Errorf("answered %v, want %v", st, c.want)
		}
	}
	want := []seen{{"op", 0}, {"op", posix.ENOENT}, {"op", posix.EIO}, {"op", posix.EIO}, {"op", posix.EIO}}
	if len(got) != len(want) {
		t.Fatalf("observed %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("observed %v, want %v", got[i], want[i])
		}
	}
}
