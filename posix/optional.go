package posix

import (
	"context"
	"time"
)

// Now is a Namespace that keeps answers and can be asked past them.
type Now interface {
	// GetattrNow is Getattr, as the tree itself has it at this moment.
	GetattrNow(ctx context.Context, ino Ino) (Attr, error)
}

// GetattrNow asks past what ns keeps, if it keeps anything.
func GetattrNow(ctx context.Context, ns Namespace, ino Ino) (Attr, error) {
	if ns, ok := ns.(Now); ok {
		return ns.GetattrNow(ctx, ino)
	}
	return ns.Getattr(ctx, ino)
}

// Soon is a Namespace that can close a handle without anyone waiting for it.
type Soon interface {
	// CloseSoon closes h in a moment. It never waits for a server.
	CloseSoon(h Handle)
}

// CloseSoon closes h in a moment if ns can do that, else now.
func CloseSoon(ctx context.Context, ns Namespace, h Handle) error {
	if ns, ok := ns.(Soon); ok {
		ns.CloseSoon(h)
		return nil
	}
	return ns.Close(ctx, h)
}

// Promising is a Namespace whose server tells of what others change in a file
// that is open for reading before those have their answer, so that one open may
// serve another.
type Promising interface {
	// Promised answers who acts, as a value that is equal for the same caller of
	// the same session alone, nil if nothing is promised; and how old the answer
	// to an open may be that serves him once more now, as long as nothing was
	// told of the file since it was asked for.
	Promised(ctx context.Context) (caller any, age time.Duration)
	// Reopened notes that h has served its caller once more, which the server is
	// told in a moment if it wants to know. It never waits for the server.
	Reopened(ctx context.Context, h Handle)
}

// Promised is of a Namespace that may not be Promising: then nothing is.
func Promised(ctx context.Context, ns Namespace) (caller any, age time.Duration) {
	if p, ok := ns.(Promising); ok {
		return p.Promised(ctx)
	}
	return nil, 0
}

// Reopened is of a Namespace that may not be Promising.
func Reopened(ctx context.Context, ns Namespace, h Handle) {
	if p, ok := ns.(Promising); ok {
		p.Reopened(ctx, h)
	}
}
