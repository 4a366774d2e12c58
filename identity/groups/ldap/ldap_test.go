package ldap_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity/certs"
	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/identity/groups/groupstest"
	"github.com/wardfs/wardfs/identity/groups/ldap"
	"github.com/wardfs/wardfs/identity/groups/ldap/ldaptest"
)

func source(t *testing.T, c ldap.Config) *ldap.Source {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	s, err := ldap.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func file(name string) func() ([]byte, error) {
	return func() ([]byte, error) { return os.ReadFile(name) }
}

func configOf(d *ldaptest.Server) ldap.Config {
	return ldap.Config{Servers: []string{d.TLS}, CA: d.CA, BindDN: ldaptest.AdminDN, Password: file(d.PasswordFile), Base: ldaptest.Base, Nesting: 8}
}

// members answers who is in each group, the primary one apart.
func members() (of map[string][]string) {
	of = map[string][]string{}
	for user, list := range groupstest.TheWorld() {
		for _, g := range list[1:] {
			of[g] = append(of[g], user)
		}
	}
	return of
}

// primaries are the numbers of the primary groups.
var primaries = map[string]string{"staff": "600", "many": "601"}

func posixUsers(d *ldaptest.Server) {
	for user, list := range groupstest.TheWorld() {
		d.Add(ldaptest.User(user), "objectClass", "account", "objectClass", "posixAccount", "objectClass", "extensibleObject",
			"cn", user, "uid", user, "uidNumber", "5000", "gidNumber", primaries[list[0]], "homeDirectory", "/")
	}
	for g, number := range primaries {
		d.Add(ldaptest.Group(g), "objectClass", "posixGroup", "cn", g, "gidNumber", number)
	}
}

func TestRFC2307(t *testing.T) {
	d := ldaptest.Start(t, "groupOfNames")
	posixUsers(d)
	for g, users := range members() {
		pairs := []string{"objectClass", "posixGroup", "cn", g, "gidNumber", "9"}
		for _, u := range users {
			pairs = append(pairs, "memberUid", u)
		}
		d.Add(ldaptest.Group(g), pairs...)
	}
	t.Run("ldaps", func(t *testing.T) { groupstest.Run(t, source(t, configOf(d))) })
	t.Run("StartTLS", func(t *testing.T) {
		c := configOf(d)
		c.Servers, c.StartTLS = []string{d.Plain}, true
		groupstest.Run(t, source(t, c))
	})
	t.Run("anonymous and plain", func(t *testing.T) {
		c := configOf(d)
		c.Servers, c.BindDN, c.Password = []string{d.Plain}, "", nil
		groupstest.Run(t, source(t, c))
	})
	t.Run("case", func(t *testing.T) {
		if got, err := source(t, configOf(d)).Groups(t.Context(), "ALICE"); !errors.Is(err, groups.ErrUnknown) {
			t.Errorf("ALICE is alice: %q, %v", got, err)
		}
	})
	t.Run("change", func(t *testing.T) { changes(t, d) })
	t.Run("outage", func(t *testing.T) { outage(t, d) })
	t.Run("wrong", func(t *testing.T) { wrong(t, d) })
}

func TestRFC2307bis(t *testing.T) {
	d := ldaptest.Start(t, "groupOfNames")
	posixUsers(d)
	groupsOfNames(d, "groupOfNames")
	c := configOf(d)
	c.Schema = ldap.RFC2307bis
	t.Run("member", func(t *testing.T) { groupstest.Run(t, source(t, c)) })
	t.Run("nested", func(t *testing.T) { nested(t, d, c, "groupOfNames") })
}

func groupsOfNames(d *ldaptest.Server, class string) {
	for g, users := range members() {
		pairs := []string{"objectClass", class, "cn", g}
		for _, u := range users {
			pairs = append(pairs, "member", ldaptest.User(u))
		}
		d.Add(ldaptest.Group(g), pairs...)
	}
}

// sid is a security identifier of Active Directory: S-1-5-21-1-2-3-RID.
func sid(rid uint32) string {
	b := []byte{1, 5, 0, 0, 0, 0, 0, 5}
	for _, n := range []uint32{21, 1, 2, 3, rid} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return string(b)
}

func TestActiveDirectory(t *testing.T) {
	d := ldaptest.Start(t, "group")
	i := uint32(1100)
	for user, list := range groupstest.TheWorld() {
		i++
		d.Add(ldaptest.User(user), "objectClass", "user", "cn", user, "sAMAccountName", user, "objectSid", sid(i), "primaryGroupID", primaries[list[0]])
	}
	for g, number := range primaries {
		rid, _ := strconv.Atoi(number)
		d.Add(ldaptest.Group(g), "objectClass", "group", "cn", g, "objectSid", sid(uint32(rid)))
	}
	groupsOfNames(d, "group")
	c := configOf(d)
	c.Schema = ldap.AD
	t.Run("member", func(t *testing.T) { groupstest.Run(t, source(t, c)) })
	up := c
	up.MemberAttr = "memberOf"
	t.Run("memberOf", func(t *testing.T) { groupstest.Run(t, source(t, up)) })
	t.Run("nested", func(t *testing.T) {
		nested(t, d, c, "group")
		deep(t, up)
	})
}

// nested makes bob a member of l0, that one of l1, … of l9, and l9 one of l0.
func nested(t *testing.T, d *ldaptest.Server, c ldap.Config, class string) {
	member := ldaptest.User("bob")
	for i := range 10 {
		g := fmt.Sprint("l", i)
		d.Add(ldaptest.Group(g), "objectClass", class, "cn", g, "member", member)
		member = ldaptest.Group(g)
	}
	d.Give(ldaptest.Group("l0"), "member", ldaptest.Group("l9"))
	deep(t, c)
}

// deep finds bob in as many of them as the bound allows, and in no loop.
func deep(t *testing.T, c ldap.Config) {
	for nesting, want := range map[int]int{0: 1, 1: 2, 8: 9, 9: 10, 100: 10} {
		c.Nesting = nesting
		got, err := source(t, c).Groups(t.Context(), "bob")
		if err != nil || len(got) != want+1 || got[0] != "staff" {
			t.Errorf("%d steps: %q, %v; want staff and %d more", nesting, got, err, want)
		}
	}
}

// clock is a time that tests move.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1e9, c.ns.Load()) }
func (c *clock) forward(d time.Duration) { c.ns.Add(int64(d)) }

// changes are seen within the time of the cache.
func changes(t *testing.T, d *ldaptest.Server) {
	var now clock
	c := groups.NewCache(source(t, configOf(d)), groups.CacheConfig{Now: now.now})
	in := func() bool {
		t.Helper()
		got, err := c.Groups(t.Context(), "bob")
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(got, "wheel")
	}
	if in() {
		t.Error("bob is in wheel")
	}
	d.Give(ldaptest.Group("wheel"), "memberUid", "bob")
	if in() {
		t.Error("nothing was remembered")
	}
	now.forward(60 * time.Second)
	if !in() {
		t.Error("after 60 s bob is not in wheel")
	}
	d.Take(ldaptest.Group("wheel"), "memberUid", "bob")
	now.forward(60 * time.Second)
	if in() {
		t.Error("60 s after he was taken out bob is in wheel")
	}
}

// While the directory is down, those who are known go on, for an hour.
func outage(t *testing.T, d *ldaptest.Server) {
	var now clock
	c := groups.NewCache(source(t, configOf(d)), groups.CacheConfig{Now: now.now})
	ask := func(user string) error {
		_, err := c.Groups(t.Context(), user)
		return err
	}
	if err := ask("alice"); err != nil {
		t.Fatal(err)
	}
	d.Down()
	for range 59 {
		now.forward(time.Minute)
		if err := ask("alice"); err != nil {
			t.Fatalf("while it is down: %v", err)
		}
	}
	if err := ask("bob"); err == nil || errors.Is(err, groups.ErrUnknown) {
		t.Errorf("who was never asked about: %v", err)
	}
	d.Up()
	now.forward(6 * time.Second)
	if err := errors.Join(ask("alice"), ask("bob")); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// liar listens and does f with whoever comes.
func liar(t *testing.T, f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return l.Addr().String()
}

// wrong is every way in which a directory can be wrong: an error that says so,
// within its time, and the next server is asked.
func wrong(t *testing.T, d *ldaptest.Server) {
	nonsense := liar(t, func(c net.Conn) {
		c.Read(make([]byte, 100))
		io.WriteString(c, strings.Repeat("\x00\xffHTTP/1.1 400\r\n", 100))
	})
	huge := liar(t, func(c net.Conn) {
		c.Read(make([]byte, 100))
		c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0})
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	silent := liar(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	gone := liar(t, func(c net.Conn) {})
	other, err := certs.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := other.Server("server", certs.Hosts())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	mute := liar(t, func(c net.Conn) { // TLS is well, and then nothing
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		if s.HandshakeContext(context.Background()) == nil {
			io.Copy(io.Discard, s)
		}
	})
	badPassword := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(badPassword, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		change func(*ldap.Config)
		want   string
	}{
		"nonsense":        {func(c *ldap.Config) { c.Servers = []string{"ldap://" + nonsense} }, "ldap: 127.0.0.1"},
		"nonsense as TLS": {func(c *ldap.Config) { c.Servers = []string{"ldaps://" + nonsense} }, "tls: "},
		"endless":         {func(c *ldap.Config) { c.Servers = []string{"ldap://" + huge} }, "ldap: 127.0.0.1"},
		"silence":         {func(c *ldap.Config) { c.Servers = []string{"ldap://" + silent}; c.StartTLS = true }, "StartTLS"},
		"silent TLS":      {func(c *ldap.Config) { c.Servers = []string{"ldaps://" + silent} }, "ldap: 127.0.0.1"}, // a time-out of the dial or of the read, whichever is first
		"mute":            {func(c *ldap.Config) { c.Servers = []string{"ldaps://" + mute}; c.CA = other.CA() }, "bind as"},
		"closed":          {func(c *ldap.Config) { c.Servers = []string{"ldap://" + gone} }, "bind as"},
		"nobody there":    {func(c *ldap.Config) { c.Servers = []string{"ldap://127.0.0.1:1"} }, "refused"},
		"another CA":      {func(c *ldap.Config) { c.CA = other.CA() }, "unknown authority"},
		"StartTLS, CA":    {func(c *ldap.Config) { c.Servers, c.StartTLS, c.CA = []string{d.Plain}, true, other.CA() }, "unknown authority"},
		"another name":    {func(c *ldap.Config) { c.ServerName = "ldap.example.org" }, "not ldap.example.org"},
		"no CA file":      {func(c *ldap.Config) { c.CA = "/nowhere" }, "/nowhere"},
		"no certificate":  {func(c *ldap.Config) { c.CA = badPassword }, "no certificate"},
		"bad password":    {func(c *ldap.Config) { c.Password = file(badPassword) }, "Invalid Credentials"},
		"no password":     {func(c *ldap.Config) { c.Password = file("/dev/null") }, "is empty"},
		"no base":         {func(c *ldap.Config) { c.Base = "dc=nowhere" }, "No Such Object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := configOf(d)
			c.Timeout = time.Second
			x.change(&c)
			_, err := source(t, c).Groups(t.Context(), "alice")
			if err == nil || errors.Is(err, groups.ErrUnknown) || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%v; want %q", err, x.want)
			}
			if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), ldaptest.Password)) {
				t.Errorf("of two lines, or with the password: %q", err)
			}
			c = configOf(d)
			c.Servers = []string{"ldaps://" + silent, "ldaps://" + nonsense, d.TLS}
			c.Timeout = 3 * time.Second
			if got, err := source(t, c).Groups(t.Context(), "alice"); err != nil || len(got) != 3 {
				t.Errorf("a good server after two bad ones: %q, %v", got, err)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := ldap.Config{Servers: []string{"ldap://x"}, Base: "dc=x"}
	for want, change := range map[string]func(*ldap.Config){
		"no server":        func(c *ldap.Config) { c.Servers = nil },
		"no ldap://HOST":   func(c *ldap.Config) { c.Servers = []string{"http://x"} },
		"no base":          func(c *ldap.Config) { c.Base = "" },
		"not known":        func(c *ldap.Config) { c.Schema = "nis" },
		"no {0}":           func(c *ldap.Config) { c.UserFilter = "(uid=alice)" },
		"user filter (uid": func(c *ldap.Config) { c.UserFilter = "(uid={0}" },
		"group filter )":   func(c *ldap.Config) { c.GroupFilter = ")" },
	} {
		c := good
		change(&c)
		if _, err := ldap.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
