package disk

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/chunk"
)

func benchStore(b *testing.B) *Store {
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func benchID(n uint64) (id chunk.BlockID) {
	id.File = 9
	binary.LittleEndian.PutUint64(id.Slice[:], n+1)
	return id
}

// each shares n calls of f among workers.
func each(b *testing.B, workers int, f func(i uint64) error) {
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= uint64(b.N) {
					return
				}
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func benchPutSync(b *testing.B, workers, size int) {
	s := benchStore(b)
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	each(b, workers, func(i uint64) error {
		if err := s.Put(ctx, benchID(i), [][]byte{data}); err != nil {
			return err
		}
		return s.Sync(ctx)
	})
}

func BenchmarkPutSync4K(b *testing.B)    { benchPutSync(b, 1, 4096) }
func BenchmarkPutSync4Kx16(b *testing.B) { benchPutSync(b, 16, 4096) }
func BenchmarkPutSync4M(b *testing.B)    { benchPutSync(b, 1, posix.BlockSize) }

// BenchmarkPut4M writes blocks with a Sync every 64 MiB.
func BenchmarkPut4M(b *testing.B) {
	s := benchStore(b)
	data := make([]byte, posix.BlockSize)
	rand.NewChaCha8([32]byte{}).Read(data)
	b.SetBytes(posix.BlockSize)
	b.ReportAllocs()
	b.ResetTimer()
	each(b, 1, func(i uint64) error {
		if i%16 == 15 {
			if err := s.Sync(ctx); err != nil {
				return err
			}
		}
		return s.Put(ctx, benchID(i), [][]byte{data})
	})
}

// benchGet reads ranges at random from 256 MiB of blocks.
func benchGet(b *testing.B, block, n int) {
	s := benchStore(b)
	blocks := uint64(256 << 20 / block)
	data := make([]byte, block)
	for i := range blocks {
		rand.NewChaCha8([32]byte{byte(i)}).Read(data)
		if err := s.Put(ctx, benchID(i), [][]byte{data}); err != nil {
			b.Fatal(err)
		}
	}
	dst := make([]byte, n)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		off := uint32(rand.IntN(block/n) * n)
		if err := s.Get(ctx, benchID(rand.Uint64N(blocks)), off, dst); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet4KOf4K(b *testing.B) { benchGet(b, 4096, 4096) }
func BenchmarkGet4KOf4M(b *testing.B) { benchGet(b, posix.BlockSize, 4096) }
func BenchmarkGet1M(b *testing.B)     { benchGet(b, posix.BlockSize, 1<<20) }

// BenchmarkOpen starts a store of 200,000 blocks of 4 KiB, with its index
// files and, after a kill, without that of the active volume.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 4096)
	for i := range uint64(200_000) {
		if err := s.Put(ctx, benchID(i), [][]byte{data}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for _, how := range []string{"indexed", "scanned"} {
		b.Run(how, func(b *testing.B) {
			for range b.N {
				if how == "scanned" {
					os.Remove(filepath.Join(dir, indexName(1)))
				}
				s, err := Open(Config{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
		})
	}
}

// rawFile is what the store is measured against: a file and nothing else.
func rawFile(b *testing.B) int {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

func benchRaw(b *testing.B, size, every int, prepare func(fd int)) {
	fd := rawFile(b)
	prepare(fd)
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	b.SetBytes(int64(size))
	b.ResetTimer()
	for i := range b.N {
		if _, err := unix.Pwrite(fd, data, int64(i)*int64(size)); err != nil {
			b.Fatal(err)
		}
		if (i+1)%every != 0 {
			continue
		}
		if err := unix.Fdatasync(fd); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRawPwriteSync4K(b *testing.B) { benchRaw(b, 4096, 1, func(int) {}) }

// BenchmarkRawOverwriteSync4K writes over blocks of a file that were written
// before: the least that a sync can cost here.
func BenchmarkRawOverwriteSync4K(b *testing.B) {
	benchRaw(b, 4096, 1, func(fd int) {
		for i := range max(1, b.N*4096/len(zeros)) {
			unix.Pwrite(fd, zeros[:], int64(i*len(zeros)))
		}
		unix.Fsync(fd)
	})
}

func BenchmarkRawPwriteSync4M(b *testing.B) { benchRaw(b, posix.BlockSize, 1, func(int) {}) }
func BenchmarkRawPwrite4M(b *testing.B)     { benchRaw(b, posix.BlockSize, 16, func(int) {}) }

func BenchmarkRawPread1M(b *testing.B) { benchRawRead(b, 1<<20) }
func BenchmarkRawPread4K(b *testing.B) { benchRawRead(b, 4096) }

func benchRawRead(b *testing.B, n int) {
	fd := rawFile(b)
	for i := range 512 {
		unix.Pwrite(fd, zeros[:], int64(i*len(zeros)))
	}
	dst := make([]byte, n)
	b.SetBytes(int64(n))
	b.ResetTimer()
	for range b.N {
		off := rand.Int64N(int64(512*len(zeros)/n)) * int64(n)
		if _, err := unix.Pread(fd, dst, off); err != nil {
			b.Fatal(err)
		}
	}
}
