package blocks

import (
	"context"
	"sync"
	"time"

	"github.com/wardfs/wardfs/proto"
	"github.com/wardfs/wardfs/proto/lane"
)

// line is one lane with the calls that wait on it.
type line struct {
	c    *lane.Conn
	room chan struct{} // one for each call that is on the line

	mu     sync.Mutex
	next   uint64
	calls  map[uint64]*waiting // nil once the line is broken
	broken chan struct{}       // closed then
}

// waiting is a call without an answer yet.
type waiting struct {
	dst    []byte
	answer chan result // closed if the line breaks
}

// result is an answer: n bytes came with it, and are in dst if that was as long.
type result struct {
	h *proto.BlockHeader
	n int
}

func newLine(c *lane.Conn, patience time.Duration) *line {
	l := &line{c: c, room: make(chan struct{}, lane.Calls), calls: map[uint64]*waiting{}, broken: make(chan struct{})}
	go l.receive()
	go l.watch(patience)
	return l
}

// ask sends one call and waits for its answer. When it returns nobody writes to
// dst any more.
func (l *line) ask(ctx context.Context, h *proto.BlockHeader, data, dst []byte) (result, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.broken:
		return result{}, errBroken
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
	defer func() { <-l.room }()
	w := &waiting{dst: dst, answer: make(chan result, 1)}
	l.mu.Lock()
	if l.calls == nil {
		l.mu.Unlock()
		return result{}, errBroken
	}
	l.next++
	id := l.next
	l.calls[id] = w
	l.mu.Unlock()
	out := &proto.BlockHeader{
		Id: id, Op: h.Op, Capability: h.Capability, File: h.File, Slice: h.Slice, Index: h.Index, Off: h.Off, Len: h.Len,
	}
	if l.c.Send(out, data) != nil {
		l.breakOff()
	}
	select {
	case r, ok := <-w.answer:
		return r, brokenUnless(ok)
	case <-ctx.Done():
	}
	if l.giveUp(id) {
		return result{}, ctx.Err()
	}
	return l.finish(w)
}

func brokenUnless(ok bool) error {
	if !ok {
		return errBroken
	}
	return nil
}

// finish waits for the answer of a call that nobody wants any more and that is
// just arriving. It does not wait for long: rather the line breaks.
func (l *line) finish(w *waiting) (result, error) {
	late := time.AfterFunc(time.Second, l.breakOff)
	defer late.Stop()
	r, ok := <-w.answer
	return r, brokenUnless(ok)
}

// giveUp forgets a call whose caller has gone; false if its answer is arriving.
func (l *line) giveUp(id uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.calls[id]
	delete(l.calls, id)
	return ok
}

// take answers the call of that number, which is then the receiver's.
func (l *line) take(id uint64) *waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.calls[id]
	delete(l.calls, id)
	return w
}

func (l *line) receive() {
	defer l.breakOff()
	for {
		h, n, err := l.c.Next()
		if err != nil {
			return
		}
		w := l.take(h.GetId())
		if w == nil {
			continue
		}
		if n == len(w.dst) && h.GetErrno() == 0 {
			err = l.c.Data(w.dst)
		}
		if err != nil {
			close(w.answer)
			return
		}
		w.answer <- result{h, n}
	}
}

// watch breaks the line if the server is silent in spite of being asked.
func (l *line) watch(patience time.Duration) {
	tick := time.NewTicker(patience)
	defer tick.Stop()
	var in, out uint64
	asked := false
	for {
		select {
		case <-l.broken:
			return
		case <-tick.C:
		}
		switch nowIn, nowOut := l.c.Moved(); {
		case nowIn != in || nowOut != out || l.idle():
			in, out, asked = nowIn, nowOut, false
		case asked:
			l.breakOff()
		default:
			asked = true
			if l.c.TrySend(&proto.BlockHeader{}) != nil {
				l.breakOff()
			}
			_, out = l.c.Moved() // the question is no sign of life; its answer may be here already
		}
	}
}

func (l *line) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls) == 0
}

func (l *line) whole() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls != nil
}

// breakOff ends the line; every call on it goes to another.
func (l *line) breakOff() {
	l.c.Close()
	l.mu.Lock()
	calls := l.calls
	l.calls = nil
	l.mu.Unlock()
	if calls == nil {
		return
	}
	close(l.broken)
	for _, w := range calls {
		close(w.answer)
	}
}
