// Package kdctest runs a real KDC of MIT Kerberos for a test, on a port of
// loopback of its own and with nothing of the machine's own configuration.
//
//	r := kdctest.Start(t, "EXAMPLE.TEST")
//	r.Add("alice", "secret")
//	r.Keytab(path, "wardfs/localhost")
//	r.Kinit(cache, "alice", "secret")
package kdctest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Realm is a KDC that runs until the test ends.
type Realm struct {
	Name string
	Conf string // its krb5.conf
	port int
	t    testing.TB
	env  []string
}

// Start makes a realm and waits until its KDC answers. The programs of Debian's
// krb5-kdc, krb5-admin-server and krb5-user must be there; without CI a test
// that lacks them is skipped.
func Start(t testing.TB, name string) *Realm {
	t.Helper()
	for _, p := range []string{"krb5kdc", "kdb5_util", "kadmin.local", "kinit"} {
		if _, err := program(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%v: install krb5-kdc, krb5-admin-server and krb5-user", err)
			}
			t.Skipf("%v", err)
		}
	}
	dir, port := t.TempDir(), freePort(t)
	r := &Realm{Name: name, Conf: filepath.Join(dir, "krb5.conf"), t: t}
	kdcConf := filepath.Join(dir, "kdc.conf")
	r.port = port
	write(t, r.Conf, conf(r, r))
	write(t, kdcConf, fmt.Sprintf(`[kdcdefaults]
 kdc_listen = 127.0.0.1:%d
 kdc_tcp_listen = 127.0.0.1:%d
[realms]
 %s = {
  database_name = %s/db
  key_stash_file = %s/stash
  acl_file = %s/acl
  max_life = 10h
  max_renewable_life = 7d
  supported_enctypes = aes256-cts-hmac-sha384-192:normal aes128-cts-hmac-sha256-128:normal aes256-cts:normal aes128-cts:normal
 }
[logging]
 kdc = FILE:%s/kdc.log
`, port, port, name, dir, dir, dir, dir))
	r.env = append(os.Environ(), "KRB5_CONFIG="+r.Conf, "KRB5_KDC_PROFILE="+kdcConf, "KRB5CCNAME=FILE:"+filepath.Join(dir, "none"))
	r.run("", "kdb5_util", "create", "-s", "-r", name, "-P", "master")
	r.serve(dir, port)
	return r
}

// conf is the krb5.conf of hosts of home, whose servers are in the realm there.
func conf(home, there *Realm) string {
	text := fmt.Sprintf(`[libdefaults]
 default_realm = %s
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[domain_realm]
 localhost = %s
[realms]
 %s = {
  kdc = 127.0.0.1:%d
 }
`, home.Name, there.Name, home.Name, home.port)
	if there != home {
		text += fmt.Sprintf(" %s = {\n  kdc = 127.0.0.1:%d\n }\n", there.Name, there.port)
	}
	return text
}

// Trusts lets principals of home have tickets for servers of r, and writes the
// krb5.conf for their hosts.
func (r *Realm) Trusts(home *Realm, file string) {
	r.t.Helper()
	for _, side := range []*Realm{r, home} {
		side.Add("krbtgt/"+r.Name+"@"+home.Name, "shared")
	}
	write(r.t, file, conf(home, r))
}

func (r *Realm) serve(dir string, port int) {
	r.t.Helper()
	path, _ := program("krb5kdc")
	kdc := exec.Command(path, "-n", "-r", r.Name, "-P", filepath.Join(dir, "pid"))
	kdc.Env = r.env
	var out bytes.Buffer
	kdc.Stdout, kdc.Stderr = &out, &out
	if err := kdc.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { kdc.Process.Kill(); kdc.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the KDC does not answer: %v\n%s", err, out.String())
		}
	}
}

// Add makes a principal with a password.
func (r *Realm) Add(principal, password string) {
	r.t.Helper()
	r.Admin("add_principal", "-pw", password, principal)
}

// Keytab gives principals new random keys, made if they are not there, and
// adds them to the keytab at path. Each call raises their kvno.
func (r *Realm) Keytab(path string, principals ...string) {
	r.t.Helper()
	for _, p := range principals {
		if !strings.Contains(r.Admin("list_principals", p), p) {
			r.Admin("add_principal", "-randkey", p)
		}
		r.Admin("ktadd", "-k", path, p)
	}
}

// Admin runs a query of kadmin.local.
func (r *Realm) Admin(query ...string) string {
	r.t.Helper()
	return r.run("", "kadmin.local", append([]string{"-r", r.Name}, query...)...)
}

// Kinit gets a ticket into the cache, by password; more are options of kinit.
func (r *Realm) Kinit(cache, principal, password string, more ...string) {
	r.t.Helper()
	r.run(password+"\n", "kinit", append(append([]string{"-c", cache}, more...), principal)...)
}

func (r *Realm) run(in, name string, args ...string) string {
	r.t.Helper()
	path, err := program(name)
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdin = r.env, strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// program finds one also where a plain user's PATH does not look.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
