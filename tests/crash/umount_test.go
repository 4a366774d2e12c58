package crash

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/tests/harness"
)

// stranded leaves on a mount a file with data that a program has written and
// not synced, when the server is killed; the program is killed while it waits
// in close(2), so that nobody uses the mount any more.
func stranded(t *testing.T, s *harness.Server, m *harness.Mount) {
	t.Helper()
	cmd := harness.Child("crash-wait", "dirty", filepath.Join(m.Path(), "f"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.Kill9()
	if _, err := in.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	_ = cmd.Wait()
}

// holds checks what the file has for another mount.
func holds(t *testing.T, s *harness.Server, want string) {
	t.Helper()
	m := s.Mount(t)
	b, err := os.ReadFile(filepath.Join(m.Path(), "f"))
	if err != nil || string(b) != want {
		t.Errorf("%q, %v; want %q", b, err, want)
	}
}

// TestUmountWaits: `wardfs umount` of a hard mount says that it waits for the
// server, and has stored what was written when it returns.
func TestUmountWaits(t *testing.T) {
	s := harness.StartServer(t)
	m := s.Mount(t)
	stranded(t, s, m)
	bin, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "umount", m.Path())
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 1000)
	n, err := said.Read(line)
	if err != nil || !strings.Contains(string(line[:n]), "waiting for the server to come back: 5 written bytes are not stored") {
		t.Errorf("it says %q, %v", line[:n], err)
	}
	if !harness.Mounted(m.Path()) {
		t.Error("it was unmounted without the server")
	}
	s.Up(t)
	more, _ := io.ReadAll(said)
	if err := cmd.Wait(); err != nil || harness.Mounted(m.Path()) {
		t.Errorf("%v, %s", err, more)
	}
	if err := m.Wait(); err != nil {
		t.Errorf("the daemon: %v", err)
	}
	holds(t, s, "synced dirty")
}

// TestUmountForced: --force does not wait, says what is lost, and what was
// synced is not.
func TestUmountForced(t *testing.T) {
	s := harness.StartServer(t)
	m := s.Mount(t)
	stranded(t, s, m)
	r := harness.Run(t, time.Minute, "umount", "--force", m.Path())
	if r.Code == 0 || !strings.Contains(r.Stderr, "5 bytes written to 1 file (inode ") || !strings.Contains(r.Stderr, "-inum") {
		t.Errorf("code %d, %s", r.Code, r.Stderr)
	}
	if harness.Mounted(m.Path()) {
		t.Error("it is still mounted")
	}
	if err := m.Wait(); err == nil {
		t.Error("the daemon ends with 0 and has lost data")
	}
	s.Up(t)
	holds(t, s, "synced ")

	// With nothing to lose, in use or not, there is nothing to say.
	m = s.Mount(t)
	f, err := os.Open(m.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r := harness.Run(t, time.Minute, "umount", "--force", m.Path()); r.Code != 0 || r.Stderr != "" || harness.Mounted(m.Path()) {
		t.Errorf("in use: code %d, %s", r.Code, r.Stderr)
	}
	if err := m.Wait(); err != nil {
		t.Errorf("the daemon: %v", err)
	}
}

// TestUmountTwo: umount2(2), in each of its ways, takes the mount out of sight
// at once; its daemon stores what was written when the server is back.
func TestUmountTwo(t *testing.T) {
	for name, flags := range map[string]int{"plain": 0, "lazy": unix.MNT_DETACH, "forced": unix.MNT_FORCE} {
		t.Run(name, func(t *testing.T) {
			s := harness.StartServer(t)
			m := s.Mount(t)
			stranded(t, s, m)
			if err := unix.Unmount(m.Path(), flags); err != nil || harness.Mounted(m.Path()) {
				t.Errorf("umount2: %v", err)
			}
			s.Up(t)
			if err := m.Wait(); err != nil {
				t.Errorf("the daemon: %v", err)
			}
			holds(t, s, "synced dirty")
		})
	}
}

// TestTermAway: SIGTERM of a mount whose server is away ends it within the time
// that a service manager waits, and its code and log say what is lost.
func TestTermAway(t *testing.T) {
	s := harness.StartServer(t)
	m := s.Mount(t)
	stranded(t, s, m)
	if err := m.Down(); err == nil || !strings.Contains(err.Error(), "exit status") {
		t.Errorf("SIGTERM: %v, want the code of lost data", err)
	}
	if !strings.Contains(s.Logs(), "5 bytes written to 1 file") {
		t.Errorf("the log does not say what is lost:\n%s", s.Logs())
	}
	s.Up(t)
	holds(t, s, "synced ")
}

// TestTermBusy: SIGTERM of a mount that programs are writing to ends it soon;
// they get an error, and what they had acknowledged is there.
func TestTermBusy(t *testing.T) {
	s := harness.StartServer(t)
	m := s.Mount(t)
	acks := make(chan struct{}, 1<<16)
	workers := startWorkers(t, m.Path(), "w", 4, func() { acks <- struct{}{} })
	stream := exec.Command("dd", "if=/dev/zero", "of="+filepath.Join(m.Path(), "stream"), "bs=1M", "count=1000000")
	if err := stream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Process.Kill() })
	for range 100 {
		<-acks
	}
	began := time.Now()
	if err := m.Down(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	t.Logf("it took %v", time.Since(began).Round(time.Millisecond))
	if err := stream.Wait(); err == nil {
		t.Error("dd ended without an error")
	}
	for _, w := range workers {
		if said := w.Wait(); !strings.Contains(said, "crash-writer:") {
			t.Errorf("a writer ended otherwise than by the mount's end: %q", said)
		}
	}
	m.Up(t)
	verify(t, workers, m.Path())
}
