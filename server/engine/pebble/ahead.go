package pebble

import "github.com/cockroachdb/pebble/v2/vfs"

// ahead writes zeros into a log before its records come there. A sync of bytes
// that grow a file, or fill what was only allocated, waits for the file
// system's journal, and so for all that others have written; a sync of bytes
// that are written over does not. Pebble's reader takes zeros for the end of a
// log, as it must where room was allocated or a log is used again.
//
// It is a matter of speed alone: whatever fails is given up for this log.
type ahead struct {
	file vfs.File
	end  int64 // up to here the file has been written
	off  bool
}

// aheadStep is how much is written at once, in bytes: some thousand commits of
// names. The sync that comes next takes it along.
const aheadStep = 1 << 20

var zeros [aheadStep]byte

// newAhead takes up a log that may have been in use under another name.
func newAhead(f vfs.File) *ahead {
	a := &ahead{file: f}
	st, err := f.Stat()
	if err != nil {
		a.off = true
		return a
	}
	a.end = st.Size()
	return a
}

// reach is called before the file is written up to end.
func (a *ahead) reach(end int64) {
	for !a.off && a.end < end {
		n, err := a.file.WriteAt(zeros[:], a.end)
		a.end += int64(n)
		a.off = err != nil
	}
}
