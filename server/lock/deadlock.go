package lock

// A request is asked for in a space.
type request struct {
	sp   *space
	lock Lock
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
	for todo := []request{{sp, l}}; len(todo) > 0; {
		r := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, h := range r.sp.holders {
			if len(t.waits[h.owner]) == 0 && h.owner != l.Owner {
				continue
			}
			if _, ok := seen[h.owner]; ok {
				continue
			}
			if !h.blocks(r.lock) {
				continue
			}
			if h.owner == l.Owner {
				return true
			}
			seen[h.owner] = struct{}{}
			for _, w := range t.waits[h.owner] {
				todo = append(todo, request{w.sp, w.lock})
			}
		}
	}
	return false
}
