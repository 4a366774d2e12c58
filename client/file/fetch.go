package file

import (
	"context"
	"sync"

	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto/buffer"
)

// maxFetch is how many pieces of one read are fetched at once.
const maxFetch = 8

// fetchAll does the jobs, several at once.
func (h *Handle) fetchAll(ctx context.Context, jobs []job) error {
	if len(jobs) <= 1 {
		for _, j := range jobs {
			return h.fetch(ctx, j)
		}
		return nil
	}
	var mu sync.Mutex
	var first error
	next := 0
	var work sync.WaitGroup
	for range min(len(jobs), maxFetch) {
		work.Go(func() {
			for {
				mu.Lock()
				k := next
				next++
				stop := k >= len(jobs) || first != nil
				mu.Unlock()
				if stop {
					return
				}
				if err := h.fetch(ctx, jobs[k]); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	return first
}

// fetch does one job through the cache.
func (h *Handle) fetch(ctx context.Context, j job) error {
	return h.i.f.cache.Read(ctx, j.at.id, j.at.size, j.off, j.dst, h.source(j.at))
}

// source reads plaintext of one block from the store.
func (h *Handle) source(at place) func(context.Context, uint32, []byte) error {
	return func(ctx context.Context, off uint32, dst []byte) error {
		err := h.get(ctx, at, off, dst)
		switch posix.ErrnoOf(err) {
		case posix.EIO, posix.EINVAL: // damaged, or cut short
			h.i.f.damaged(at.id, err)
			err = posix.E("read", posix.EIO, err)
		}
		return err
	}
}

// get reads and opens the segments in which [off, off+len(dst)) lies.
func (h *Handle) get(ctx context.Context, at place, off uint32, dst []byte) error {
	f, stored := h.i.f, dst
	start := off
	if _, ok := f.codec.(plain); !ok {
		var n uint32
		start, n = f.codec.span(at.size, off, uint32(len(dst)))
		stored = buffer.Get(int(n))
		defer buffer.Put(stored)
	}
	err := h.call(ctx, func(capability []byte) error {
		return f.blocks.Get(ctx, capability, at.id, start, stored)
	})
	if err != nil {
		return err
	}
	f.stats.fetches.Add(1)
	f.stats.fetchBytes.Add(int64(len(stored)))
	if _, ok := f.codec.(plain); ok {
		return nil
	}
	return f.codec.open(dst, at, off, stored)
}
