package session

import (
	"context"
	"errors"
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

// errAway is why a session could not be renewed: it has no stream, and will
// show what there is at the next handshake.
var errAway = errors.New("session: no server at the moment")

// Renew shows the server the credential of now, of which the session has heard
// that it is another. EACCES: it is not the principal's, or not good.
func (s *Session) Renew(ctx context.Context) error {
	s.mu.Lock()
	st, tries := s.up, s.tries
	s.mu.Unlock()
	if st == nil {
		return s.comeBack(ctx, tries)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(st.st.Context(), cancel)()
	_, err := s.renewOnce(ctx, st)
	if err != nil && st.st.Context().Err() != nil {
		return errAway
	}
	return err
}

// comeBack has the session try again to get a stream, and answers what came of
// it: a handshake shows the credential of now. The one that was under way when
// tries had failed may have shown an older one, so that the next counts.
func (s *Session) comeBack(ctx context.Context, tries int) error {
	for {
		select {
		case s.again <- struct{}{}:
		default: // it is asked for
		}
		s.mu.Lock()
		up, refused, over, changed := s.up != nil, s.refused, s.closed || s.tries > tries+1, s.changed
		s.mu.Unlock()
		switch {
		case up:
			return nil
		case over && refused != nil:
			return refused
		case over:
			return errAway
		}
		select {
		case <-changed:
		case <-s.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// renewOnce shows a proof and answers until when it is good.
func (s *Session) renewOnce(ctx context.Context, st *stream) (time.Time, error) {
	st.showing.Lock()
	defer st.showing.Unlock()
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
	until := expiry(r.GetExpiresMs())
	s.mu.Lock()
	if s.up == st {
		s.state.Expires = until
	}
	s.mu.Unlock()
	return until, nil
}
