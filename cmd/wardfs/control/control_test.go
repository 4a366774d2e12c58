package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "well") })
	mux.HandleFunc("POST /unmount", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusConflict) })
	return mux
}

func TestAskAndAnswer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	path := "/" + strings.Repeat("a long way/", 100) // longer than a socket's name may be
	s, err := Listen(dir, "mount", path, handler())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, s.path: os.ModeSocket | 0o600} {
		if st, err := os.Stat(name); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	var out bytes.Buffer
	p := Find(dir, "mount", path)
	if err := p.Do(context.Background(), "GET", "/status", &out); err != nil || out.String() != "well" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := p.Do(context.Background(), "POST", "/unmount", io.Discard); err == nil || err.Error() != "busy" {
		t.Errorf("got %v", err)
	}
	if all := List(dir); len(all) != 1 || all[0] != p || all[0].Kind() != "mount" {
		t.Errorf("got %v", all)
	}
	if _, err := Listen(dir, "mount", path, handler()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second one: %v", err)
	}
	s.Close(context.Background())
	if err := p.Do(context.Background(), "GET", "/status", io.Discard); !errors.Is(err, ErrNobody) {
		t.Errorf("after Close: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestSocketsOfTheDead(t *testing.T) {
	dir := t.TempDir()
	name := socket(dir, "mount", "/m")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close() // as a kill -9 leaves it
	if all := List(dir); len(all) != 0 {
		t.Errorf("listed: %v", all)
	}
	if err := Find(dir, "mount", "/m").Do(context.Background(), "GET", "/", io.Discard); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v", err)
	}
	old := socket(dir, "mount", "/other")
	if err := os.Link(name, old); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(dir, "mount", "/m", handler())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an old one was left: %v", err)
	}
	s.Close(context.Background())
}

// TestCloseLetsAnAnswerThrough: who asked to unmount must hear how it ended.
func TestCloseLetsAnAnswerThrough(t *testing.T) {
	dir := t.TempDir()
	began, goOn := make(chan bool), make(chan bool)
	s, err := Listen(dir, "mount", "/m", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-goOn
		fmt.Fprint(w, "done")
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		var out bytes.Buffer
		err := Find(dir, "mount", "/m").Do(context.Background(), "POST", "/", &out)
		got <- fmt.Sprint(out.String(), err)
	}()
	<-began
	closed := make(chan bool)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Close(ctx)
		close(closed)
	}()
	close(goOn)
	if answer := <-got; answer != "done<nil>" {
		t.Errorf("got %q", answer)
	}
	<-closed
}

func TestDirIsOurs(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(open); err != nil {
		t.Error(err)
	}
	if st, _ := os.Stat(open); st.Mode().Perm() != 0o700 {
		t.Errorf("left open: %v", st.Mode())
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	if MakeDir(link) == nil {
		t.Error("a symbolic link was taken for our folder")
	}
	if os.Getuid() == 0 {
		other := t.TempDir()
		if err := os.Chown(other, 4242, 4242); err != nil {
			t.Fatal(err)
		}
		if MakeDir(other) == nil {
			t.Error("another user's folder was taken")
		}
	}
	none := func(string) string { return "" }
	run := func(string) string { return "/run/user/7" }
	if a, b, c := Dir(0, run), Dir(7, run), Dir(7, none); a != "/run/wardfs" || b != "/run/user/7/wardfs" || c != "/tmp/wardfs-7" {
		t.Errorf("got %s %s %s", a, b, c)
	}
}
