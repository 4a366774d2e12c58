package file

import "context"

// detach runs fn to its end even if ctx is cancelled, for what it does here
// must go with what it did on the server; the caller has EINTR then, and undo,
// if it is not nil, takes back what fn has done for him.
func detach[T any](ctx context.Context, f *Files, op string, fn func(context.Context) (T, error), undo func(T)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	ch, left := make(chan answer), make(chan struct{})
	ok := f.spawn(func() {
		whole, cancel := context.WithCancel(f.ctx)
		defer cancel()
		v, err := fn(whole)
		select {
		case ch <- answer{v, err}:
		case <-left:
			if err == nil && undo != nil {
				undo(v)
			}
		}
	})
	if !ok {
		return fn(ctx)
	}
	select {
	case a := <-ch:
		return a.v, a.err
	case <-ctx.Done():
		close(left)
		var none T
		return none, as(op, ctx.Err())
	}
}
