package soak

import (
	"time"

	"github.com/wardfs/wardfs/identity/certs"
)

// rotateSome changes what is due in a round. What takes an overlap takes several
// rounds: the new is trusted, then used, and only then is the old dropped.
func (s *site) rotateSome(round int) {
	s.newTickets()
	s.turn("tickets")
	s.newTokens()
	s.turn("tokens")
	switch round % 6 {
	case 1:
		s.turn("server certificate")
		s.issueServer()
	case 2:
		s.realm.Keytab(s.file("server.keytab"), "wardfs/localhost") // kvno + 1, the old one stays in it
		s.turn("keytab")
	case 3:
		s.newTokenKey()
		s.turn("token keys")
	case 4:
		s.rotateAuthority()
	case 5:
		if len(s.set) > 3 { // nothing that it signed is good any more
			s.set = s.set[1:]
			s.publish()
		}
	}
}

func (s *site) turn(what string) { s.turned[what]++ }

// rotateAuthority goes the way of docs/tls.md: both are trusted, all get
// certificates of the new one, the old one is dropped, and with it every
// connection that still lives by it. Each side has seen a step before the next.
func (s *site) rotateAuthority() {
	old := s.ca
	s.newAuthority()
	s.turn("authority")
	for _, step := range []func(){
		func() { s.trust(old, s.ca) },
		s.issue,
		func() { s.trust(s.ca) },
	} {
		step()
		time.Sleep(4 * followed) // what follows files has no event to await
	}
}

// followed is how often files are looked at.
const followed = 50 * time.Millisecond

func (s *site) material(own bool) certs.Config {
	c := certs.Config{CA: s.file("ca.pem"), Every: followed}
	if own {
		c.Cert, c.Key = s.file("carol.pem"), s.file("carol.key")
	}
	return c
}
