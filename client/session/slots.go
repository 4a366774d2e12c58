package session

import "context"

// slot is an exactly-once slot of the session while a call has it.
type slot struct {
	number uint32
	seq    uint64
}

// slots lends the session's slots. Each loan has a seq one higher than the last
// of that slot, also across sessions: a server that knows no slot takes any.
type slots struct{ free chan slot }

func newSlots(n uint32) *slots {
	s := &slots{make(chan slot, n)}
	for i := range n {
		s.free <- slot{number: i, seq: 1}
	}
	return s
}

func (s *slots) take(ctx context.Context) (slot, error) {
	select {
	case x := <-s.free:
		return x, nil
	default:
	}
	select {
	case x := <-s.free:
		return x, nil
	case <-ctx.Done():
		return slot{}, ctx.Err()
	}
}

func (s *slots) give(x slot) {
	x.seq++
	s.free <- x
}
