// Package dextest runs a real OpenID Connect issuer, dex, for tests: on
// loopback, with a certificate, keys and users of its own, and without root. It
// is a module apart, tests/dex, and is built when it is first needed.
//
// It refuses to forge anything: tests that need a token that no issuer would
// give sign one themselves.
//
//	d := dextest.Start(t, dextest.User{Name: "alice", Groups: []string{"staff"}})
//	tokens := d.Password("alice", "openid", "groups")
package dextest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity/certs"
)

// Client is the public client that every issuer knows.
const Client = "wardfs"

// The password of every user, and what the issuer keeps of it.
const (
	password = "password"
	hash     = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"
)

// User is one who can log in. Name is preferred_username in tokens.
type User struct {
	Name   string
	Groups []string
}

func (u User) mail() string { return u.Name + "@example.test" }

// Issuer is a dex. It ends with its test.
type Issuer struct {
	URL  string
	CA   string       // its authority, a file
	HTTP *http.Client // that trusts it

	// Life is that of the tokens; a day unless changed before Users.
	Life time.Duration

	t       testing.TB
	dir     string
	addr    string
	program string
	store   *postgres
	users   []User
	cmd     *exec.Cmd
	out     *bytes.Buffer
}

// Start starts one that knows those users.
func Start(t testing.TB, users ...User) *Issuer {
	t.Helper()
	d := &Issuer{t: t, dir: t.TempDir(), Life: 24 * time.Hour}
	var err error
	d.program, err = program()
	d.must(err)
	d.store, err = startPostgres(t)
	d.must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	d.must(err)
	d.addr = l.Addr().String()
	d.must(l.Close())
	d.URL = "https://" + d.addr // without a path: dex takes its own page for codes as an answer only so
	a, err := certs.Open(filepath.Join(d.dir, "tls"), nil)
	d.must(err)
	_, err = a.Server("dex", certs.Hosts())
	d.must(err)
	d.CA = a.CA()
	pem, err := os.ReadFile(d.CA)
	d.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	d.HTTP = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(d.Stop)
	d.Users(users...)
	return d
}

func (d *Issuer) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("dex: %v", err)
	}
}

// Users starts it anew with other users, and Life. Its keys and what it has
// given stay.
func (d *Issuer) Users(users ...User) {
	d.t.Helper()
	d.users = users
	d.Restart()
}

// Restart ends it if it runs, and starts it.
func (d *Issuer) Restart() {
	d.t.Helper()
	d.Stop()
	conf := filepath.Join(d.dir, "dex.json")
	b, err := json.Marshal(d.config())
	d.must(err)
	d.must(os.WriteFile(conf, b, 0o600))
	d.out = new(bytes.Buffer)
	d.cmd = exec.Command(d.program, "serve", conf)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	d.must(d.cmd.Start())
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r, err := d.HTTP.Get(d.URL + "/healthz")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			d.Stop()
			d.t.Fatalf("dex does not answer: %v\n%s", err, d.out)
		}
	}
}

// Stop ends it; Restart goes on.
func (d *Issuer) Stop() {
	if d.cmd != nil {
		d.cmd.Process.Kill()
		d.cmd.Wait()
		d.cmd = nil
		d.HTTP.CloseIdleConnections()
	}
}

func (d *Issuer) config() map[string]any {
	type m = map[string]any
	users := []m{}
	for _, u := range d.users {
		users = append(users, m{"email": u.mail(), "username": u.Name, "preferredUsername": u.Name, "userID": "id-" + u.Name, "groups": u.Groups, "hash": hash})
	}
	return m{
		"issuer":    d.URL,
		"storage":   m{"type": "postgres", "config": m{"host": d.store.dir, "user": "dex", "database": "dex", "ssl": m{"mode": "disable"}}},
		"web":       m{"https": d.addr, "tlsCert": filepath.Join(d.dir, "tls", "dex.pem"), "tlsKey": filepath.Join(d.dir, "tls", "dex.key")},
		"telemetry": m{"http": ""},
		"expiry":    m{"idTokens": d.Life.String(), "signingKeys": "1000h", "refreshTokens": m{"reuseInterval": "0s"}},
		"logger":    m{"level": "INFO"},
		"oauth2": m{
			"skipApprovalScreen": true, "passwordConnector": "local", "responseTypes": []string{"code"},
			"grantTypes": []string{"authorization_code", "refresh_token", "password", "urn:ietf:params:oauth:grant-type:device_code"},
		},
		"staticClients":    []m{{"id": Client, "name": "wardfs", "public": true}},
		"enablePasswordDB": true, "staticPasswords": users,
	}
}

// Rotate makes it sign with another key from now on; the one before stays
// published, for what it has signed. It is away for a moment.
func (d *Issuer) Rotate() {
	d.t.Helper()
	d.Stop()
	d.must(d.store.do("UPDATE keys SET next_rotation = '2001-01-01'", "dex"))
	d.Restart()
}

// Tokens is what a login or a refresh gives.
type Tokens struct {
	ID      string `json:"id_token"`
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// Password logs a user in by password, for those scopes.
func (d *Issuer) Password(user string, scopes ...string) Tokens {
	d.t.Helper()
	return d.grant(url.Values{"grant_type": {"password"}, "username": {User{Name: user}.mail()}, "password": {password}, "scope": {strings.Join(scopes, " ")}})
}

// Refresh gets newer tokens for a refresh token, which is used up by that.
func (d *Issuer) Refresh(token string) Tokens {
	d.t.Helper()
	return d.grant(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (d *Issuer) grant(form url.Values) (got Tokens) {
	d.t.Helper()
	form.Set("client_id", Client)
	r, err := d.HTTP.PostForm(d.URL+"/token", form)
	d.must(err)
	defer r.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(r.Body)
	d.must(err)
	if r.StatusCode != http.StatusOK {
		d.t.Fatalf("dex: %s: %s\n%s", r.Status, &body, d.out)
	}
	d.must(json.Unmarshal(body.Bytes(), &got))
	if got.ID == "" {
		d.t.Fatal(fmt.Sprint("dex gave no ID token: ", &body))
	}
	return got
}
