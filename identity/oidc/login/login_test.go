package login

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/oidc/dextest"
)

func atDex(t *testing.T, d *dextest.Issuer) *Provider {
	t.Helper()
	p, err := Discover(t.Context(), Config{Issuer: d.URL, ClientID: dextest.Client, HTTP: d.HTTP})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A user logs in at a real issuer in both ways, and gets newer tokens. A
// refresh token is good once.
func TestRealIssuer(t *testing.T) {
	d := dextest.Start(t, dextest.User{Name: "alice"})
	p := atDex(t, d)
	browse := func(addr, want string) {
		page, err := d.Browse(addr, "alice")
		if err != nil || !strings.Contains(page, want) {
			t.Errorf("the browser sees %v, %q", err, page)
		}
	}
	codes := 0
	first, err := p.Device(t.Context(), func(c Code) {
		codes++
		if c.UserCode == "" || !strings.HasPrefix(c.URL, d.URL) {
			t.Errorf("%+v", c)
		}
		browse(c.Complete, "Login Successful")
	})
	if err != nil || codes != 1 || first.ID == "" || first.Refresh == "" || time.Until(first.Expires) < time.Hour {
		t.Fatalf("%d codes, until %v, %v", codes, first.Expires, err)
	}
	second, err := p.Browser(t.Context(), func(addr string) {
		// What knocks without the state changes nothing.
		u, err := url.Parse(addr)
		if err != nil {
			t.Fatal(err)
		}
		back, state := u.Query().Get("redirect_uri"), u.Query().Get("state")
		for _, bad := range []string{"", "?code=x", "?code=x&state=x", "?error=access_denied&state=x", "?code=x&state=" + state + "&state=" + state, "?code=x&iss=https://evil.test&state=" + state, "?state=" + state, "/../x?code=x&state=" + state} {
			if r, err := http.Get(back + bad); err != nil || r.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %v %v", bad, r, err)
			} else {
				r.Body.Close()
			}
		}
		browse(addr, "has reached wardfs")
	})
	if err != nil || second.ID == "" {
		t.Fatal(err)
	}
	third, err := p.Refresh(t.Context(), second.Refresh)
	if err != nil || third.ID == second.ID || third.Refresh == second.Refresh {
		t.Fatal(err)
	}
	if _, err := p.Refresh(t.Context(), second.Refresh); !errors.Is(err, identity.ErrCredential) {
		t.Errorf("a refresh token is good twice: %v", err)
	}
}

// wrong authority, wrong place, wrong client.
func TestRefusedByARealIssuer(t *testing.T) {
	d := dextest.Start(t, dextest.User{Name: "alice"})
	for name, c := range map[string]struct {
		c    Config
		want string
	}{
		"another authority": {Config{Issuer: d.URL, ClientID: "x", HTTP: http.DefaultClient}, "certificate"},
		"another address":   {Config{Issuer: d.URL + "/", ClientID: "x", HTTP: d.HTTP}, "it is issuer"},
		"plain":             {Config{Issuer: strings.Replace(d.URL, "https", "http", 1), ClientID: "x", HTTP: d.HTTP}, "https"},
		"no issuer there":   {Config{Issuer: d.URL + "/x", ClientID: "x", HTTP: d.HTTP}, "status 404"},
		"no client":         {Config{Issuer: d.URL, HTTP: d.HTTP}, "no client"},
	} {
		if _, err := Discover(t.Context(), c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	p, err := Discover(t.Context(), Config{Issuer: d.URL, ClientID: "nobody", HTTP: d.HTTP})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Refresh(t.Context(), "made up"); err == nil {
		t.Error("a client that is unknown gets tokens")
	}
}

// The store gives a token out while it is young, gets a newer one, keeps it,
// and gives the old one to its end when there is none to be had.
func TestStore(t *testing.T) {
	d := dextest.Start(t)
	d.Life = 10 * time.Minute
	d.Users(dextest.User{Name: "alice"})
	p := atDex(t, d)
	got := d.Password("alice", "openid", "offline_access")
	now := time.Now()
	asked := 0
	s := Store{Dir: filepath.Join(t.TempDir(), "a", "b"), Now: func() time.Time { return now }, Provider: func(context.Context, Login) (*Provider, error) { asked++; return p, nil }}
	if _, err := s.Token(t.Context(), "", ""); !errors.Is(err, identity.ErrCredential) {
		t.Errorf("nobody is logged in: %v", err)
	}
	l := Login{Issuer: d.URL, ClientID: dextest.Client}
	if err := s.Put(l, Tokens{ID: got.ID, Refresh: got.Refresh, Got: now, Expires: now.Add(d.Life)}); err != nil {
		t.Fatal(err)
	}
	private(t, s.Dir)
	if l, err := s.Token(t.Context(), "", ""); err != nil || l.Token != got.ID || asked != 0 {
		t.Errorf("a young token: %v, %d questions", err, asked)
	}
	now = now.Add(6 * time.Minute)
	old, err := s.Token(t.Context(), d.URL, "")
	if err != nil || old.Token == got.ID || old.Refresh == got.Refresh || asked != 1 {
		t.Errorf("an old token: %v, %d questions", err, asked)
	}
	private(t, s.Dir)
	now = old.Got.Add(7 * time.Minute)
	d.Stop()
	if l, err := s.Token(t.Context(), "", dextest.Client); err != nil || l.Token != old.Token {
		t.Errorf("the issuer is away: %v", err)
	}
	now = old.Expires.Add(time.Second)
	if _, err := s.Token(t.Context(), "", ""); err == nil {
		t.Error("the issuer is away, and the token has expired")
	}
	if _, err := s.Token(t.Context(), "https://else.test", ""); !errors.Is(err, identity.ErrCredential) {
		t.Errorf("no login there: %v", err)
	}
	if _, err := s.Remove("", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find("", ""); !errors.Is(err, identity.ErrCredential) {
		t.Errorf("after logout: %v", err)
	}
}

// private fails unless nobody else can read what is in dir, and nothing is left
// over there.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		info, ierr := e.Info()
		if err != nil || ierr != nil || info.Mode().Perm()&0o077 != 0 || strings.Contains(path, ".new-") {
			t.Errorf("%s: %v %v", path, info.Mode(), errors.Join(err, ierr))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStoreRefuses(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	if err := s.Put(Login{Issuer: "https://a.test", ClientID: "c"}, Tokens{ID: "token"}); err != nil {
		t.Fatal(err)
	}
	name := s.path("https://a.test", "c")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable by others": {string(good), 0o640, "by others"},
		"half":               {string(good[:len(good)/2]), 0o600, "damaged"},
		"of tomorrow":        {strings.Replace(string(good), `"v":1`, `"v":2`, 1), 0o600, "version 2"},
	} {
		if err := errors.Join(os.Remove(name), os.WriteFile(name, []byte(c.text), c.mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Find("", ""); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "token") {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if err := errors.Join(os.Remove(name), s.Put(Login{Issuer: "https://a.test", ClientID: "c"}, Tokens{ID: "t"}), s.Put(Login{Issuer: "https://b.test", ClientID: "c"}, Tokens{ID: "t"})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find("", "c"); err == nil || !strings.Contains(err.Error(), "several") {
		t.Errorf("%v", err)
	}
	if err := s.Put(Login{Issuer: "https://a.test", ClientID: "c", Access: true}, Tokens{ID: "t"}); err == nil {
		t.Error("an access token that is not there was kept")
	}
}
