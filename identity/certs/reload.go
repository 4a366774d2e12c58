package certs

import (
	"context"
	"time"
)

// remindEvery is how often what is wrong with the material in use is logged
// again.
const remindEvery = 24 * time.Hour

// Watch looks at the files until ctx ends, also while nobody shakes hands, and
// logs once a day what [Store.Warnings] says. It calls changed, without locks,
// when other material is in use, and once a minute besides: a certificate that
// was shown may have expired since.
func (s *Store) Watch(ctx context.Context, changed func()) {
	const again = time.Minute
	tick := time.NewTicker(max(s.c.Every, 10*time.Millisecond))
	defer tick.Stop()
	var told *material
	var at time.Time
	for {
		if m := s.current(); m != told || time.Since(at) >= again {
			if told != nil {
				changed()
			}
			told, at = m, time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// current is the material to use now, after a look at the files if the last
// one is long ago.
func (s *Store) current() *material {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.Now()
	if s.c.Every < 0 || now.Sub(s.looked) >= s.c.Every || now.Before(s.looked) {
		s.looked = now
		_ = s.follow(false) // logged there; the last good material serves on
		s.remind(now)
	}
	return s.now
}

// Reload reads the files now, changed or not, and tells what is wrong with
// them; the last good material stays in use then. It is for SIGHUP.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = s.c.Now()
	return s.follow(true)
}

// follow takes up the files if they changed and can be used.
func (s *Store) follow(always bool) error {
	found := look(s.c)
	if !always && (found == s.now.from || found == s.refused) {
		return nil
	}
	m, err := read(s.c)
	if err == nil && s.now.timely(s.c.Now()) == nil {
		err = m.timely(s.c.Now()) // an expired certificate does not replace a good one
	}
	if err != nil {
		s.refused = found
		s.c.Log.Warn("certificates changed but can't be used, the last good ones stay", "err", err)
		return err
	}
	s.now, s.refused, s.warned = m, "", time.Time{}
	s.c.Log.Info("certificates reloaded", "cert", s.c.Cert, "ca", s.c.CA, "not_after", m.notAfter())
	return nil
}

// remind logs the warnings, once a day; at the start and after a change at once.
func (s *Store) remind(now time.Time) {
	if !s.warned.IsZero() && now.Sub(s.warned) < remindEvery {
		return
	}
	s.warned = now
	for _, w := range s.warnings() {
		s.c.Log.Warn(w)
	}
}

// Warnings are what an administrator should know of the material: for doctor,
// and the log.
func (s *Store) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.warnings()
}

func (s *Store) warnings() (w []string) {
	if s.c.AnyName {
		w = append(w, "the name in the server's certificate is not checked: whoever has a certificate of the same authority can be the server")
	}
	if s.now.open != "" {
		w = append(w, "key file "+s.now.open+" may be read by others; chmod 600 it")
	}
	for _, c := range s.now.list() {
		if c.NotAfter.Sub(s.c.Now()) < Renew {
			w = append(w, "certificate of "+c.Name+" ("+c.Use+") expires at "+stampOf(c.NotAfter)+": renew it")
		}
	}
	return w
}
