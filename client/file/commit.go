package file

import "context"

// Commit commits what was written to the file until now, as Flush does, and
// leaves every error to be told by Flush or Sync: giving up a lock is no place
// where a program looks for one.
func (h *Handle) Commit(ctx context.Context) error {
	if !h.i.unclean() {
		return nil
	}
	return as("commit", h.i.kick(true, false).wait(ctx))
}
