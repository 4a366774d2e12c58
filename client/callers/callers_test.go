package callers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/client/session"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// world is a server and the credentials of users: the stamp of one is the
// principal and a number.
type world struct {
	t     *testing.T
	table *Table
	mu    sync.Mutex
	has   map[posix.UID]string
	open  map[*fake]bool
	now   time.Time
	away  bool // there is no server
	slow  chan struct{}
	asked atomic.Int64 // handshakes
}

func newWorld(t *testing.T, c Config) *world {
	w := &world{t: t, has: map[posix.UID]string{}, open: map[*fake]bool{}, now: time.Unix(1e9, 0)}
	c.Open, c.Stamp = w.dial, w.stamp
	c.Now = func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	w.table = New(c)
	t.Cleanup(w.table.Close)
	return w
}

func (w *world) give(uid posix.UID, credential string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.has[uid] = credential
	w.now = w.now.Add(2 * time.Second) // the next call looks
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
}

func (w *world) stamp(uid posix.UID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.has[uid]
}

// principal is whose a credential is: its first letters up to a digit.
func principal(credential string) string {
	for i, r := range credential {
		if r >= '0' && r <= '9' {
			return credential[:i]
		}
	}
	return credential
}

func (w *world) dial(ctx context.Context, uid posix.UID) (Session, error) {
	w.asked.Add(1)
	if w.slow != nil {
		<-w.slow
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch p := principal(w.has[uid]); {
	case w.away:
		return nil, errors.New("nobody listens")
	case p == "mallory":
		return nil, posix.E("hello", posix.EACCES, errors.New("mallory has no account"))
	default:
		f := &fake{w: w, uid: uid, principal: p, life: new(posix.Life)}
		w.open[f] = true
		return f, nil
	}
}

// fake is a session that says in each answer whose it is.
type fake struct {
	w         *world
	uid       posix.UID
	principal string
	life      *posix.Life
	handles   atomic.Int64
}

func (f *fake) Call(context.Context, string, posix.Cred, *proto.Call, bool) (*proto.Reply, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if !f.w.open[f] {
		return nil, posix.E("call", posix.EHOSTDOWN, session.ErrClosed)
	}
	return &proto.Reply{Value: []byte(f.principal)}, nil
}

func (f *fake) Renew(context.Context) error {
	if p := principal(f.w.stamp(f.uid)); p != f.principal {
		return posix.E("renew", posix.EACCES, fmt.Errorf("the session is of %s and the proof of %s", f.principal, p))
	}
	return nil
}

func (f *fake) State() session.State {
	return session.State{Principal: f.principal, Handles: int(f.handles.Load()), Connected: true}
}

func (f *fake) CloseSoon(posix.Cred, posix.Handle) {}
func (f *fake) Life() *posix.Life                  { return f.life }
func (f *fake) Close() error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	delete(f.w.open, f)
	return nil
}

// whoami does a call for a user and answers as whom.
func (w *world) whoami(c *Caller) (string, posix.Errno) {
	r, err := c.Call(w.t.Context(), "whoami", posix.Cred{}, new(proto.Call), false)
	return string(r.GetValue()), posix.ErrnoOf(err)
}

func (w *world) is(uid posix.UID, want string, errno posix.Errno) {
	w.t.Helper()
	if got, e := w.whoami(w.table.Of(uid)); got != want || e != errno {
		w.t.Errorf("user %d acts as %q, %v; want %q, %v", uid, got, e, want, errno)
	}
}

func TestEachHasItsOwn(t *testing.T) {
	w := newWorld(t, Config{})
	w.give(1, "alice1")
	w.give(2, "bob1")
	w.give(4, "mallory1")
	var users sync.WaitGroup
	for i := range 300 {
		users.Go(func() {
			switch i % 4 {
			case 0:
				w.is(1, "alice", 0)
			case 1:
				w.is(2, "bob", 0)
			case 2:
				w.is(3, "", posix.EACCES)
			case 3:
				w.is(4, "", posix.EACCES)
			}
		})
	}
	users.Wait()
	if n := w.asked.Load(); n != 3 {
		t.Errorf("%d handshakes, want 3: one each, and a refusal is remembered", n)
	}
}

func TestCredentialChanges(t *testing.T) {
	w := newWorld(t, Config{})
	w.give(1, "alice1")
	w.is(1, "alice", 0)
	w.give(1, "alice2")
	w.is(1, "alice", 0)
	if n := w.asked.Load(); n != 1 {
		t.Errorf("%d handshakes, want 1: a newer ticket of the same user renews", n)
	}
	w.give(1, "")
	w.is(1, "", posix.EACCES)
	w.give(1, "bob1")
	w.is(1, "bob", 0)
	w.give(1, "mallory1")
	w.is(1, "", posix.EACCES)
	w.give(1, "alice3")
	w.is(1, "alice", 0) // at once, in spite of the refusal
	if s := w.table.Stats(); s.Sessions != 1 || s.Handshakes != 4 || s.Failures != 1 {
		t.Errorf("%+v", s)
	}
}

// What is open stays in the session in which it was opened, whoever its user is
// by now; that session goes when nothing is open in it any more, or comes back.
func TestOpenFilesStay(t *testing.T) {
	w := newWorld(t, Config{Idle: time.Hour})
	w.give(1, "alice1")
	file := w.table.Of(1)
	w.whoami(file)
	life, _ := file.Life()
	first := file.m.s.(*fake)
	first.handles.Store(1)
	w.give(1, "")
	w.is(1, "", posix.EACCES)
	if got, e := w.whoami(file); got != "alice" || e != 0 {
		t.Errorf("the open file is %q's, %v", got, e)
	}
	w.give(1, "bob1")
	w.is(1, "bob", 0)
	if got, e := w.whoami(file); got != "alice" || e != 0 {
		t.Errorf("the open file is %q's, %v", got, e)
	}
	w.give(1, "alice2")
	w.is(1, "alice", 0)
	again := w.table.Of(1)
	w.whoami(again)
	if l, _ := again.Life(); l == life {
		t.Error("bob's session was past last, and alice's came back")
	}
	first.handles.Store(0)
	w.pass(time.Minute)
	w.table.sweep()
	if n := w.table.Stats().Sessions; n != 1 {
		t.Errorf("%d sessions, want 1: what is past and unused goes", n)
	}
	fresh := again.m.s.(*fake)
	fresh.handles.Store(1)
	w.give(1, "")
	w.is(1, "", posix.EACCES)
	w.give(1, "alice3")
	back := w.table.Of(1)
	w.whoami(back)
	if back.m.s.(*fake) != fresh {
		t.Error("the session with open files is not taken up again when its credential is back")
	}
}

func TestIdleAndFull(t *testing.T) {
	w := newWorld(t, Config{Most: 2, Idle: time.Minute})
	for uid, p := range map[posix.UID]string{1: "alice1", 2: "bob1", 3: "carol1"} {
		w.give(uid, p)
	}
	w.is(1, "alice", 0)
	w.is(2, "bob", 0)
	w.is(3, "", posix.EAGAIN) // both were used just now
	w.pass(10 * time.Second)
	w.is(2, "bob", 0)
	w.is(3, "carol", 0)
	w.is(2, "bob", 0)
	if s := w.table.Stats(); s.Evictions != 1 || s.Sessions != 2 {
		t.Errorf("%+v", s)
	}
	w.pass(2 * time.Minute)
	w.table.sweep()
	if n := w.table.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions are idle and open", n)
	}
	w.is(1, "alice", 0)
}

// Without a server a call waits, and goes on when there is one; who gives up
// has EINTR.
func TestServerAway(t *testing.T) {
	w := newWorld(t, Config{})
	w.give(1, "alice1")
	w.away = true
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := w.table.Of(1).Call(ctx, "x", posix.Cred{}, new(proto.Call), false); posix.ErrnoOf(err) != posix.ETIMEDOUT && posix.ErrnoOf(err) != posix.EINTR {
		t.Errorf("%v", err)
	}
	done := make(chan struct{})
	go func() { defer close(done); w.is(1, "alice", 0) }()
	for w.asked.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	w.mu.Lock()
	w.away = false
	w.mu.Unlock()
	<-done
}

// Many users, many goroutines, credentials that come and go: nobody is ever
// another.
func TestStorm(t *testing.T) {
	w := newWorld(t, Config{Most: 16, Idle: 20 * time.Millisecond})
	names := []string{"alice", "bob", "carol", ""}
	var work sync.WaitGroup
	for uid := range posix.UID(32) {
		work.Go(func() {
			for i := range 100 {
				name := names[(int(uid)+i/10)%len(names)]
				credential := name
				if name != "" {
					credential += fmt.Sprint(i)
				}
				w.give(uid, credential)
				switch got, e := w.whoami(w.table.Of(uid)); {
				case e == posix.EAGAIN || e == posix.EHOSTDOWN: // no room, or no longer
				case got != name, (e == posix.EACCES) != (name == ""):
					t.Errorf("user %d with %q acts as %q, %v", uid, credential, got, e)
				}
			}
		})
	}
	work.Wait()
}
