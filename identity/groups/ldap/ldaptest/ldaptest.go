// Package ldaptest runs a real OpenLDAP server for tests: on loopback, on ports
// of its own, with its own configuration, certificates and data, and without
// root. It is Debian's package slapd.
package ldaptest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/wardfs/wardfs/identity/certs"
)

// What every server has.
const (
	Base     = "dc=example,dc=com"
	AdminDN  = "cn=admin,dc=example,dc=com"
	Password = "only for tests"
)

// slapd is where Debian has it: in no user's PATH.
const slapd = "/usr/sbin/slapd"

// Server is a directory. It ends with its test.
type Server struct {
	t            testing.TB
	dir          string
	Plain, TLS   string // URLs
	CA           string // its authority, a file
	PasswordFile string
	cmd          *exec.Cmd
}

// schema is what Active Directory has and OpenLDAP lacks, as far as groups go.
const schema = `
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.98 NAME 'primaryGroupID' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.146 NAME 'objectSid' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP top STRUCTURAL MUST cn MAY ( sAMAccountName $ primaryGroupID $ objectSid ) )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL MUST cn MAY ( member $ objectSid ) )
`

const conf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include %[1]s/ad.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile %[1]s/pid
TLSCACertificateFile %[2]s
TLSCertificateFile %[3]s
TLSCertificateKeyFile %[4]s
database mdb
suffix "` + Base + `"
rootdn "` + AdminDN + `"
rootpw "` + Password + `"
directory %[1]s/db
maxsize 67108864
dbnosync
sizelimit unlimited
index objectClass,uid,member,memberUid eq
overlay memberof
memberof-group-oc %[5]s
`

// Start runs a server whose groups with members are of that class
// ("groupOfNames", "group").
func Start(t testing.TB, class string) *Server {
	t.Helper()
	if _, err := os.Stat(slapd); err != nil && os.Getenv("CI") == "" {
		t.Skip("no slapd: tests/setup.sh test installs it")
	}
	s := &Server{t: t, dir: t.TempDir()}
	a, err := certs.Open(filepath.Join(s.dir, "tls"), nil)
	s.must(err)
	pair, err := a.Server("server", certs.Hosts())
	s.must(err)
	s.CA, s.PasswordFile = a.CA(), filepath.Join(s.dir, "password")
	s.must(os.WriteFile(s.PasswordFile, []byte(Password+"\n"), 0o600))
	s.must(os.Mkdir(filepath.Join(s.dir, "db"), 0o700))
	s.must(os.WriteFile(filepath.Join(s.dir, "ad.schema"), []byte(schema), 0o600))
	s.must(os.WriteFile(filepath.Join(s.dir, "slapd.conf"), fmt.Appendf(nil, conf, s.dir, s.CA, pair.Cert, pair.Key, class), 0o600))
	s.Plain, s.TLS = "ldap://"+freePort(t), "ldaps://"+freePort(t)
	t.Cleanup(s.Down)
	s.Up()
	s.Add("dc=example,dc=com", "objectClass", "dcObject", "objectClass", "organization", "o", "example", "dc", "example")
	for _, ou := range []string{"people", "groups"} {
		s.Add("ou="+ou+","+Base, "objectClass", "organizationalUnit", "ou", ou)
	}
	return s
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Up starts it, over the data it had.
func (s *Server) Up() {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	s.must(err)
	defer log.Close()
	s.cmd = exec.Command(slapd, "-f", filepath.Join(s.dir, "slapd.conf"), "-h", s.Plain+" "+s.TLS, "-d", "0")
	s.cmd.Stderr = log
	s.must(s.cmd.Start())
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.TLS, "ldaps://"))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			s.t.Fatalf("slapd does not listen: %v\n%s", err, text)
		}
	}
}

// Down ends it.
func (s *Server) Down() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// do does f as the administrator.
func (s *Server) do(f func(*ldap.Conn) error) {
	s.t.Helper()
	l, err := ldap.DialURL(s.Plain)
	s.must(err)
	defer l.Close()
	s.must(l.Bind(AdminDN, Password))
	s.must(f(l))
}

// Add makes an entry of pairs of attributes and values.
func (s *Server) Add(dn string, pairs ...string) {
	s.t.Helper()
	values, order := map[string][]string{}, []string{}
	for i := 0; i < len(pairs); i += 2 {
		if values[pairs[i]] == nil {
			order = append(order, pairs[i])
		}
		values[pairs[i]] = append(values[pairs[i]], pairs[i+1])
	}
	r := ldap.NewAddRequest(dn, nil)
	for _, name := range order {
		r.Attribute(name, values[name])
	}
	s.do(func(l *ldap.Conn) error { return l.Add(r) })
}

// Give adds a value to an attribute of an entry, Take takes it away.
func (s *Server) Give(dn, attr, value string) {
	s.t.Helper()
	r := ldap.NewModifyRequest(dn, nil)
	r.Add(attr, []string{value})
	s.do(func(l *ldap.Conn) error { return l.Modify(r) })
}

// Take takes a value from an attribute of an entry.
func (s *Server) Take(dn, attr, value string) {
	s.t.Helper()
	r := ldap.NewModifyRequest(dn, nil)
	r.Delete(attr, []string{value})
	s.do(func(l *ldap.Conn) error { return l.Modify(r) })
}

// User and Group are DNs.
func User(name string) string  { return "cn=" + name + ",ou=people," + Base }
func Group(name string) string { return "cn=" + name + ",ou=groups," + Base }
