package audit

import (
	"bytes"
	"time"
)

const (
	// batch is how many records are written at once, at most.
	batch = 256
	// linger is how long the first of them waits for others. Who has put it
	// there is about to answer a call; what the writer does, which is not a
	// little, is not to come between, nor to be done for each alone.
	linger = 5 * time.Millisecond
	// lingerQueue is the least queue that surely has room for as long.
	lingerQueue = 4096
	// beat is how often the writer looks after the file, and how long it waits
	// before it tries again what failed. Every beat what was written is synced.
	beat = time.Second
)

// writer is the one goroutine that writes.
type writer struct {
	*Log
	file  *file
	batch []Record
	buf   []byte // lines that are not written; the first may have lost its beginning to the file
	dirty bool   // written, not synced
	ill   bool   // the last attempt failed
}

func newWriter(l *Log) (*writer, error) {
	f, err := openFile(l.c)
	if err != nil {
		return nil, err
	}
	return &writer{Log: l, file: f}, nil
}

// run writes until the queue is closed and empty.
func (w *writer) run() {
	defer close(w.done)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case r, ok := <-w.queue:
			if !ok {
				w.end()
				return
			}
			w.take(r)
		case <-tick.C:
			w.tend()
		case <-w.reopen:
			w.turn("reopened", w.file.reopen)
		}
	}
}

// take makes lines of r and of what waits behind it, and writes them.
func (w *writer) take(r Record) {
	w.missing()
	if cap(w.queue) >= lingerQueue {
		time.Sleep(linger)
	}
	w.batch = append(w.batch[:0], r)
	for more := true; more && len(w.batch) < batch; {
		select {
		case r, more = <-w.queue: // false when it is closed, which run sees, too
			if more {
				w.batch = append(w.batch, r)
			}
		default:
			more = false
		}
	}
	paths := w.find(w.batch)
	for i := range w.batch {
		x := w.line(&w.batch[i], paths)
		w.buf = x.append(w.buf, w.c.Format)
	}
	clear(w.batch)
	w.flush()
}

// missing writes down how many records were lost, before the next.
func (w *writer) missing() {
	n := w.lost.Swap(0)
	if n == 0 {
		return
	}
	x := Line{Time: w.c.Now(), Cmd: "lost", Lost: n}
	w.buf = x.append(w.buf, w.c.Format)
	if !w.push() {
		w.lost.Add(n) // unless its beginning is written: then the rest will be, too
		if w.file.midLine && bytes.Count(w.buf, newline) == 1 {
			w.lost.Add(-n)
		}
		w.buf = w.buf[:w.begun()]
	}
}

// flush writes all lines, or gives them up.
func (w *writer) flush() {
	if w.push() {
		return
	}
	keep := w.begun()
	n := bytes.Count(w.buf[keep:], newline)
	w.lost.Add(uint64(n))
	w.m.lost.WithLabelValues("file").Add(float64(n))
	w.buf = w.buf[:keep]
}

// push writes all lines, waiting for a file that can't be written if that is
// the policy, and reports whether it has.
func (w *writer) push() bool {
	for len(w.buf) > 0 {
		if !w.try() && (w.c.OnError != Block || !w.wait()) {
			return false
		}
	}
	return true
}

// begun is how much of buf is the rest of a line that the file has the
// beginning of: it must be the next that is written.
func (w *writer) begun() int {
	if !w.file.midLine {
		return 0
	}
	return bytes.IndexByte(w.buf, '\n') + 1
}

var newline = []byte{'\n'}

// try writes once, and reports whether it went well.
func (w *writer) try() bool {
	if w.file.due(w.c.Now()) {
		w.turn("turned over", w.file.rotate)
	}
	n, err := w.file.Write(w.buf)
	w.m.written.Add(float64(bytes.Count(w.buf[:n], newline)))
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
	w.dirty = w.dirty || n > 0
	w.health(err)
	return err == nil
}

// health says when the file begins to fail, and when it is well again.
func (w *writer) health(err error) {
	switch {
	case err != nil:
		w.m.errors.Inc()
		w.m.failing.Set(1)
		if !w.ill {
			w.log.Error("the audit log can't be written", "path", w.c.Path, "err", err, "then", map[Policy]string{
				Block: "operations wait until it can: make room, or mend the folder", Drop: "operations go on without it: make room, or mend the folder",
			}[w.c.OnError])
		}
		w.ill = true
	case w.ill:
		w.m.failing.Set(0)
		w.log.Warn("the audit log can be written again", "path", w.c.Path)
		w.ill = false
	}
}

// wait lets a beat pass, and reports whether to try again.
func (w *writer) wait() bool {
	select {
	case <-w.quit:
		return false
	case <-w.reopen:
		w.turn("reopened", w.file.reopen)
	case <-time.After(beat):
		w.file.follow()
	}
	return true
}

// tend looks after the file when there is time for it.
func (w *writer) tend() {
	w.file.follow()
	w.missing()
	w.flush()
	if w.file.due(w.c.Now()) {
		w.turn("turned over", w.file.rotate)
	}
	w.sync()
}

func (w *writer) sync() {
	if w.dirty {
		w.dirty = false
		if err := w.file.Sync(); err != nil {
			w.health(err)
		}
	}
}

// turn changes the file; one that can't be changed is written on.
func (w *writer) turn(what string, f func() error) {
	w.sync()
	if err := f(); err != nil {
		w.m.errors.Inc()
		w.log.Error("the audit log could not be "+what, "path", w.c.Path, "err", err)
		return
	}
	w.log.Info("audit log "+what, "path", w.c.Path)
}

func (w *writer) end() {
	w.missing()
	w.flush()
	w.sync()
	w.file.Close()
	if n := w.lost.Load(); n > 0 {
		w.log.Error("records are missing at the end of the audit log", "path", w.c.Path, "lost", n)
	}
}
