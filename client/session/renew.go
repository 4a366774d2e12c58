package session

import (
	"context"
	"fmt"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

// expiry is a time of the wire.
func expiry(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// renew shows the server a new proof before the one of st has expired, again
// and again until st ends. When there is none to be had, it tries on to the
// end: then the server ends the stream, and calls fail until there is one.
func (s *Session) renew(st *stream) {
	ctx := st.st.Context()
	for until := st.expires; !until.IsZero(); {
		left := time.Until(until)
		// With a third of its life left or in the last minute; then again and
		// again, not too often.
		wait := max(left-max(left/3, time.Minute), min(max(left/5, time.Second), 10*time.Second))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		next, err := s.renewOnce(ctx, st)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.c.Log.Warn("the credential will expire and can't be renewed, trying on", "expires", until, "err", err)
		case next.After(until):
			s.c.Log.Info("the credential is renewed", "expires", next)
			until = next
		case next.IsZero():
			return
		}
	}
}

// renewal is a proof that was sent and waits for its answer. Each has an id of
// its own: the answer to one that was given up may come late, and confirms
// another proof.
type renewal struct {
	id     uint64
	answer chan *proto.Renewed // of one
}

// answered takes the answer to id, if that is this one's.
func (w *renewal) answered(id uint64, r *proto.Renewed) {
	if w == nil || w.id != id {
		return
	}
	select {
	case w.answer <- r:
	default: // answered twice
	}
}

// renewing makes the renewal whose answer st waits for from now on.
func (s *Session) renewing(st *stream) *renewal {
	s.mu.Lock()
	s.next++
	w := &renewal{s.next, make(chan *proto.Renewed, 1)}
	s.mu.Unlock()
	st.renewal.Store(w)
	return w
}

func (s *Session) renewOnce(ctx context.Context, st *stream) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, shakeTime)
	defer cancel()
	proof, err := s.c.Prover.Prove(ctx, channel(st.st.Context()))
	if err != nil {
		return time.Time{}, err
	}
	w := s.renewing(st)
	if err := st.send(&proto.ToServer{Id: w.id, Body: &proto.ToServer_Renew{Renew: &proto.Renew{Proof: proof.Bytes}}}); err != nil {
		return time.Time{}, err
	}
	var r *proto.Renewed
	select {
	case r = <-w.answer:
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	if err := proto.Failure("renew", r.GetErrno(), r.GetMessage()); err != nil {
		return time.Time{}, err
	}
	if proof.Confirm != nil {
		if err := proof.Confirm(r.GetProof()); err != nil {
			st.end() // whoever answers there is not the server
			return time.Time{}, posix.E("renew", posix.EACCES, fmt.Errorf("%w: %w", identity.ErrRefused, err))
		}
	}
	return expiry(r.GetExpiresMs()), nil
}
