package cache

// generations is a map of about most entries, at most twice as many: those that
// were used of late, and those of the time before. When there are too many of
// late, the others go.
type generations[K comparable, V any] struct {
	most       int
	late, past map[K]V
	dropped    func() // if not nil, called when some of them went for want of room
}

func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.late[k]; ok {
		return v, true
	}
	v, ok := g.past[k]
	if ok {
		delete(g.past, k)
		g.put(k, v)
	}
	return v, ok
}

func (g *generations[K, V]) put(k K, v V) {
	if len(g.late) >= g.most {
		if len(g.past) > 0 && g.dropped != nil {
			g.dropped()
		}
		g.past, g.late = g.late, nil
	}
	if g.late == nil {
		g.late = map[K]V{}
	}
	delete(g.past, k)
	g.late[k] = v
}

func (g *generations[K, V]) remove(k K) {
	delete(g.late, k)
	delete(g.past, k)
}

func (g *generations[K, V]) clear() { g.late, g.past = nil, nil }

func (g *generations[K, V]) len() int { return len(g.late) + len(g.past) }
