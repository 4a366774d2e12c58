package session

import (
	"testing"

	"github.com/wardfs/wardfs/proto"
)

// TestLateRenewal: an answer belongs to the proof that was sent under its id,
// and confirms no other.
func TestLateRenewal(t *testing.T) {
	s, st := new(Session), new(stream)
	st.renewal.Load().answered(1, new(proto.Renewed)) // none was asked for
	late, w := s.renewing(st), s.renewing(st)
	want := &proto.Renewed{ExpiresMs: 2}
	for range 2 { // and again: nobody may be held up
		st.renewal.Load().answered(late.id, &proto.Renewed{ExpiresMs: 1})
		st.renewal.Load().answered(w.id, want)
	}
	if got := <-w.answer; got != want || len(w.answer) != 0 || len(late.answer) != 0 {
		t.Errorf("%v was taken, %d are left", got, len(w.answer)+len(late.answer))
	}
}
