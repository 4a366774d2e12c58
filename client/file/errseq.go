package file

// errseq counts the errors of delayed writes of one inode, as Linux's errseq_t
// does: each open handle is told of the newest one once, whoever was told
// before. It is guarded by the inode's lock.
type errseq struct {
	seq uint64
	err error
}

// record notes err for all handles that are open now.
func (e *errseq) record(err error) { e.seq, e.err = e.seq+1, err }

// tell answers the error that came since *seen, and that it was told.
func (e *errseq) tell(seen *uint64) error {
	if *seen == e.seq {
		return nil
	}
	*seen = e.seq
	return e.err
}
