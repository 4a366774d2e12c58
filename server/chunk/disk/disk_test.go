package disk

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/wardfs/wardfs/server/chunk"
	"github.com/wardfs/wardfs/server/chunk/chunktest"
)

var ctx = context.Background()

// testLog writes to the test's own log.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.Helper()
	w.Logf("%s", b[:len(b)-1])
	return len(b), nil
}

var _ io.Writer = testWriter{}

// flip changes one byte of a file of the directory.
func flip(t testing.TB, fs filesystem, name string, off int64) {
	t.Helper()
	f, err := fs.open(name, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	b := []byte{0}
	if n, err := f.readv([][]byte{b}, off); n != 1 || err != nil {
		t.Fatalf("read of %s at %d: %d, %v", name, off, n, err)
	}
	b[0] ^= 0x10
	if err := f.writev([][]byte{b}, off); err != nil {
		t.Fatal(err)
	}
}

// damage flips a byte of a block's data.
func damage(t testing.TB, s *Store, id chunk.BlockID, off uint32) {
	t.Helper()
	e, ok := s.index.get(id)
	if !ok {
		t.Fatalf("no block %s", id)
	}
	flip(t, s.fs, volumeName(e.at.vol), e.at.off()+dataOff(e.size)+int64(off))
}

func TestContract(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
	}{{"default volumes", 0}, {"small volumes", minVolume}} {
		t.Run(c.name, func(t *testing.T) {
			chunktest.Run(t, chunktest.Body{
				Open: func(t testing.TB) chunk.Store {
					s, err := Open(Config{Dir: t.TempDir(), VolumeSize: c.size, CompactRate: 1 << 40})
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
				Damage: func(t testing.TB, s chunk.Store, id chunk.BlockID, off uint32) {
					damage(t, s.(*Store), id, off)
				},
			})
		})
	}
}
