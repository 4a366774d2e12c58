package lock

// A request is asked for in a space.
type request struct {
	sp   *space
	lock *Lock
}

// deadlock reports whether those who keep l from its owner wait, directly or
// through others, for that owner. The owners who wait are asked whom they wait
// for now, over all inodes, and all of their blockers are followed; Linux
// follows one of them at a time, ten steps deep, and sees some cycles later or
// not at all. Open file descriptions are not in the graph, see [Lock].
//
// As on Linux, an owner with several threads counts as waiting when one of
// them does, though another could still unlock.
func (t *Table) deadlock(sp *space, l Lock) bool {
	seen := map[Owner]struct{}{}
	found := false
	for todo := []request{{sp, &l}}; len(todo) > 0 && !found; {
		r := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		r.sp.blockers(r.lock, func(h *holder) bool {
			found = h.owner == l.Owner
			waits := t.waits[h.owner]
			if _, ok := seen[h.owner]; ok || found || len(waits) == 0 {
				return !found
			}
			seen[h.owner] = struct{}{}
			for _, w := range waits {
				todo = append(todo, request{w.sp, &w.lock})
			}
			return true
		})
	}
	return found
}
