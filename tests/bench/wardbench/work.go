package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// A workload measures one or more figures in an empty directory.
type workload struct {
	name string
	run  func(b *bench) error
}

var workloads = []workload{
	{"seq", sequential},
	{"rand", random},
	{"fsync", fsyncs},
	{"meta1", func(b *bench) error { return metadata(b, 1, 1500) }},
	{"meta16", func(b *bench) error { return metadata(b, 16, 4000) }},
	{"small", small},
	{"bigdir", bigdir},
	{"tree", tree},
}

type bench struct {
	dir   string
	scale float64
	rate  func(figure string, perSecond float64)
}

func (b *bench) path(format string, args ...any) string {
	return filepath.Join(b.dir, fmt.Sprintf(format, args...))
}

// n is a count of things, scaled.
func (b *bench) n(n int) int { return max(1, int(float64(n)*b.scale)) }

// timed runs f and books amount per second.
func (b *bench) timed(figure string, amount float64, f func() error) error {
	start := time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", figure, err)
	}
	b.rate(figure, amount/time.Since(start).Seconds())
	return nil
}

// cold drops the kernel's caches, the written pages of all filesystems too.
func cold() error {
	syscall.Sync()
	err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil // as a plain user the figure is a hot one
	}
	return err
}

// by runs f for 0 <= i < n on so many workers.
func by(workers, n int, f func(worker, i int) error) error {
	var next atomic.Int64
	var g errgroup.Group
	for w := range workers {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(w, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// noise is data that no layer can compress or share.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}

func sequential(b *bench) error {
	blocks := b.n(384)
	name, block := b.path("big"), noise(1, 1<<20)
	mb := float64(blocks) * (1 << 20) / 1e6
	err := b.timed("seq_write_MB", mb, func() error {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		for i := range blocks {
			block[i%len(block)]++
			if _, err := f.Write(block); err != nil {
				return err
			}
		}
		return errors.Join(f.Sync(), f.Close())
	})
	read := func() error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, block)
		if err == nil && n != int64(blocks)<<20 {
			err = fmt.Errorf("%d bytes", n)
		}
		return err
	}
	if err == nil {
		err = cold()
	}
	if err == nil {
		err = b.timed("seq_read_cold_MB", mb, read)
	}
	if err == nil {
		err = b.timed("seq_read_hot_MB", mb, read)
	}
	return err
}

// random reads cold pages by eight readers, then overwrites pages and syncs.
func random(b *bench) error {
	const pages = 48 << 10
	f, err := os.Create(b.path("file"))
	if err != nil {
		return err
	}
	defer f.Close()
	block := noise(2, 1<<20)
	for i := range pages * 4096 >> 20 {
		if _, err := f.WriteAt(block, int64(i)<<20); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Sync(), cold()); err != nil {
		return err
	}
	n := b.n(5000)
	err = b.timed("rand_read4k_cold", float64(n), func() error {
		return by(8, n, func(_, i int) error {
			_, err := f.ReadAt(make([]byte, 4096), int64(i*7919%pages)*4096)
			return err
		})
	})
	if err != nil {
		return err
	}
	n = b.n(3000)
	return b.timed("rand_write4k", float64(n), func() error {
		for i := range n {
			if _, err := f.WriteAt(block[i%250*4096:][:4096], int64(i*7919%pages)*4096); err != nil {
				return err
			}
		}
		return f.Sync()
	})
}

// fsyncs appends and syncs, as a log does.
func fsyncs(b *bench) error {
	f, err := os.Create(b.path("log"))
	if err != nil {
		return err
	}
	defer f.Close()
	n := b.n(200)
	page := noise(3, 4096)
	return b.timed("append_fsync", float64(n), func() error {
		for range n {
			if _, err := f.Write(page); err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
		}
		return nil
	})
}

// metadata has so many workers, each in a directory of its own.
func metadata(b *bench, workers, count int) error {
	n := b.n(count)
	for w := range workers {
		if err := os.Mkdir(b.path("d%d", w), 0o755); err != nil {
			return err
		}
	}
	path := func(i int) string { return b.path("d%d/f%d", i%workers, i) }
	for _, step := range []struct {
		name string
		cold bool
		do   func(i int) error
	}{
		{"create", false, func(i int) error {
			f, err := os.OpenFile(path(i), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}},
		{"stat_hot", false, func(i int) error { _, err := os.Lstat(path(i)); return err }},
		{"stat_cold", true, func(i int) error { _, err := os.Lstat(path(i)); return err }},
		{"chmod", false, func(i int) error { return os.Chmod(path(i), 0o600) }},
		{"rename", false, func(i int) error { return os.Rename(path(i), path(i)+"r") }},
		{"unlink", false, func(i int) error { return os.Remove(path(i) + "r") }},
	} {
		if step.cold {
			if err := cold(); err != nil {
				return err
			}
		}
		// Worker w keeps to its own directory: it takes i = w, w+workers, ...
		err := b.timed(fmt.Sprintf("%s_%d", step.name, workers), float64(n), func() error {
			return by(workers, workers, func(_, w int) error {
				for i := w; i < n; i += workers {
					if err := step.do(i); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func small(b *bench) error {
	n := b.n(2000)
	data := noise(4, 4096)
	err := b.timed("small_write4k", float64(n), func() error {
		return by(4, n, func(_, i int) error { return os.WriteFile(b.path("s%d", i), data, 0o644) })
	})
	if err != nil {
		return err
	}
	if err := cold(); err != nil {
		return err
	}
	return b.timed("small_read4k_cold", float64(n), func() error {
		return by(4, n, func(_, i int) error {
			got, err := os.ReadFile(b.path("s%d", i))
			if err == nil && !bytes.Equal(got, data) {
				err = errors.New("wrong bytes")
			}
			return err
		})
	})
}

// bigdir is `ls -l` of a large directory.
func bigdir(b *bench) error {
	n := b.n(8000)
	err := by(8, n, func(_, i int) error { return os.WriteFile(b.path("entry-%06d", i), nil, 0o644) })
	if err != nil {
		return err
	}
	list := func() error {
		entries, err := os.ReadDir(b.dir)
		if err == nil && len(entries) != n {
			err = fmt.Errorf("%d entries", len(entries))
		}
		for _, e := range entries {
			if _, infoErr := e.Info(); infoErr != nil {
				return infoErr
			}
		}
		return err
	}
	if err := cold(); err != nil {
		return err
	}
	if err := b.timed("ls_cold_entries", float64(n), list); err != nil {
		return err
	}
	return b.timed("ls_hot_entries", float64(n), list)
}

// tree unpacks a tree of source-like files, reads all of it, and removes it.
func tree(b *bench) error {
	n := b.n(2500)
	data := noise(5, 64<<10)
	top := b.path("tree")
	path := func(i int) string { return filepath.Join(top, fmt.Sprintf("a%d/b%d/file%d.go", i%11, i%37, i)) }
	err := b.timed("tree_unpack_files", float64(n), func() error {
		for i := range n {
			if err := os.MkdirAll(filepath.Dir(path(i)), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path(i), data[:1+i*7919%len(data)/4], 0o644); err != nil {
				return err
			}
			if err := os.Chtimes(path(i), time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
				return err
			}
		}
		return nil
	})
	read := func() error {
		return filepath.WalkDir(top, func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				_, err = os.ReadFile(p)
			}
			return err
		})
	}
	if err == nil {
		err = cold()
	}
	if err == nil {
		err = b.timed("tree_grep_cold_files", float64(n), read)
	}
	if err == nil {
		err = b.timed("tree_grep_hot_files", float64(n), read)
	}
	if err == nil {
		err = b.timed("tree_remove_files", float64(n), func() error { return os.RemoveAll(top) })
	}
	return err
}
