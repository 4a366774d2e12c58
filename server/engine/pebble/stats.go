package pebble

// Stats is what the engine counts, for whoever exports it. Counters start at
// Open; sizes are in bytes.
type Stats struct {
	Views, Updates uint64 // transactions begun
	Commits        uint64 // Updates that changed something and were made durable
	Refused        uint64 // Updates refused because the disk is full
	Syncs          uint64 // of the log: Commits / Syncs is how many shared one

	Disk         uint64 // taken on disk
	Log          uint64 // of it by the log of recent changes
	MemTables    uint64 // memory for recent changes
	Cache        int64  // memory for blocks read from disk
	CacheHits    int64
	CacheMisses  int64
	Flushes      int64  // recent changes written to a table
	Compactions  int64  // tables merged
	Debt         uint64 // yet to be merged, an estimate
	Reserve      int64  // room kept back on the disk now
	ReserveWhole int64  // and when there is no shortage
	Stopped      bool   // the engine must be opened again
}

// Stats may be called at any time, and costs some microseconds. Of a closed
// engine it has the counters only.
func (db *DB) Stats() Stats {
	s := Stats{
		Views: db.views.Load(), Updates: db.updates.Load(), Commits: db.commits.Load(),
		Refused: db.refused.Load(), Syncs: db.disk.syncs.Load(), Stopped: db.fault.error() != nil,
	}
	s.Reserve, s.ReserveWhole = db.disk.reserve.left()
	if db.gate.Enter() != nil {
		return s
	}
	defer db.gate.Leave()
	if db.fault.wild.Load() {
		return s
	}
	m := db.lsm.Metrics()
	s.Disk, s.Log, s.MemTables = m.DiskSpaceUsage(), m.WAL.PhysicalSize, m.MemTable.Size
	s.Cache, s.CacheHits, s.CacheMisses = m.BlockCache.Size, m.BlockCache.Hits, m.BlockCache.Misses
	s.Flushes, s.Compactions, s.Debt = m.Flush.Count, m.Compact.Count, m.Compact.EstimatedDebt
	return s
}
