package certs

// current is the material to use now, after a look at the files if the last
// one is long ago.
func (s *Store) current() *material {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.Now()
	if s.c.Every < 0 || now.Sub(s.looked) >= s.c.Every || now.Before(s.looked) {
		s.looked = now
		_ = s.follow(false) // logged there; the last good material serves on
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
	s.now, s.refused = m, ""
	s.c.Log.Info("certificates reloaded", "cert", s.c.Cert, "ca", s.c.CA, "not_after", m.notAfter())
	return nil
}

// Warnings are what an administrator should know of the material: for doctor
// and the log at the start.
func (s *Store) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var w []string
	if s.now.open != "" {
		w = append(w, "key file "+s.now.open+" may be read by others; chmod 600 it")
	}
	if left := s.now.notAfter().Sub(s.c.Now()); !s.now.notAfter().IsZero() && left < Renew {
		w = append(w, "a certificate expires at "+stampOf(s.now.notAfter()))
	}
	return w
}
