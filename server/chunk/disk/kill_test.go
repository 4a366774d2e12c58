package disk

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/wardfs/wardfs/server/chunk/chunktest"
)

const killDir = "WARDFS_CHUNK_KILL_DIR"

// TestKilled is the process that TestKill kills: it puts and syncs blocks and
// says of which it was told that they are safe.
func TestKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("part of TestKill")
	}
	s, err := Open(Config{Dir: dir, VolumeSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	first := count(t, s)
	for i := first; ; i++ {
		if err := s.Put(ctx, chunktest.ID(i), [][]byte{killBlock(i)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		fmt.Println(i)
	}
}

func killBlock(i int) []byte { return chunktest.Bytes(i, 1+i*7919%90_000) }

// TestKill kills a process with SIGKILL in the middle of its work, several
// times over the same directory.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	safe := -1
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for said := 0; said < 40+13*round && lines.Scan(); said++ {
			if safe, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatalf("the process says %q", lines.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // said before it died
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				safe = n
			}
		}
		cmd.Wait()
		s, err := Open(Config{Dir: dir, Log: testLog(t)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range safe + 1 {
			got := make([]byte, len(killBlock(i)))
			if err := s.Get(ctx, chunktest.ID(i), 0, got); err != nil || !bytes.Equal(got, killBlock(i)) {
				t.Fatalf("round %d: block %d of %d is not whole: %v", round, i, safe+1, err)
			}
		}
		if n := count(t, s); n < safe+1 || n > safe+2 {
			t.Fatalf("round %d: %d blocks, want %d or one more", round, n, safe+1)
		}
		if round%2 == 0 { // an orderly end in between
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		s.work.stop() // or none: let go of the directory and nothing else
		s.fs.close()
	}
	if safe < 100 {
		t.Fatalf("only %d blocks", safe)
	}
}
