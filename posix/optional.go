package posix

import "context"

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
