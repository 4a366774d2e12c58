package file

import "sync/atomic"

// Stats is what the data path has done and holds. Bytes and counts since New.
type Stats struct {
	Buffered int64 `json:"buffered_bytes"` // memory that written data takes now
	Waits    int64 `json:"waits"`          // writes that had to wait for memory
	Files    int64 `json:"dirty_files"`    // that have data to commit now

	Reads        int64 `json:"reads"`
	ReadBytes    int64 `json:"read_bytes"`
	Writes       int64 `json:"writes"`
	WrittenBytes int64 `json:"written_bytes"`
	Uploads      int64 `json:"uploads"`
	Commits      int64 `json:"commits"`
	Fetches      int64 `json:"fetches"` // from the chunk role
	FetchBytes   int64 `json:"fetch_bytes"`
	Ahead        int64 `json:"read_ahead"` // pieces

	Reopened int64 `json:"reopened"` // opens that a parked handle served
	Parked   int   `json:"parked"`   // handles, now

	Cached      int64 `json:"cached_bytes"` // in the block cache now
	CacheHits   int64 `json:"cache_hits"`
	CacheMisses int64 `json:"cache_misses"`
}

type counters struct {
	reads, readBytes, writes, writtenBytes atomic.Int64
	uploads, commits, fetches, fetchBytes  atomic.Int64
	ahead, reopened                        atomic.Int64
}

// Stats answers the counts as they are now.
func (f *Files) Stats() Stats {
	c := f.cache.Stats()
	f.mu.Lock()
	dirty, parked := len(f.dirty), f.parked.Len()
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
		Reopened: s.reopened.Load(), Parked: parked,
		Cached: c.Bytes, CacheHits: c.Hits, CacheMisses: c.Misses,
	}
}
