package file

import "sync/atomic"

// Stats is what the data path has done and holds. Bytes and counts since New.
type Stats struct {
	Buffered int64 // bytes of memory that written data takes now
	Waits    int64 // writes that had to wait for memory
	Files    int64 // that have data to commit now

	Reads, ReadBytes     int64
	Writes, WrittenBytes int64
	Uploads, Commits     int64
	Fetches, FetchBytes  int64 // from the chunk role
	Ahead                int64 // pieces read ahead

	Cached                 int64 // bytes in the block cache now
	CacheHits, CacheMisses int64
}

type counters struct {
	reads, readBytes, writes, writtenBytes atomic.Int64
	uploads, commits, fetches, fetchBytes  atomic.Int64
	ahead                                  atomic.Int64
}

// Stats answers the counts as they are now.
func (f *Files) Stats() Stats {
	c := f.cache.Stats()
	f.mu.Lock()
	dirty := len(f.dirty)
	f.mu.Unlock()
	f.memory.mu.Lock()
	used, waits := f.memory.used, f.memory.counts
	f.memory.mu.Unlock()
	s := &f.stats
	return Stats{
		Buffered: used, Waits: waits, Files: int64(dirty),
		Reads: s.reads.Load(), ReadBytes: s.readBytes.Load(),
		Writes: s.writes.Load(), WrittenBytes: s.writtenBytes.Load(),
		Uploads: s.uploads.Load(), Commits: s.commits.Load(),
		Fetches: s.fetches.Load(), FetchBytes: s.fetchBytes.Load(), Ahead: s.ahead.Load(),
		Cached: c.Bytes, CacheHits: c.Hits, CacheMisses: c.Misses,
	}
}
