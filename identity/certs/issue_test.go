package certs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wardfs/wardfs/posix"
)

// Every type of key makes an authority whose server and client get along.
func TestKeyTypes(t *testing.T) {
	for _, kind := range KeyTypes {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			leaf := KeyType(kind)
			if kind == "rsa-3072" {
				leaf = "" // one that takes so long to make is enough
			}
			a, err := Found(filepath.Join(dir, "ca"), Order{Name: "x", Key: KeyType(kind)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Existing(filepath.Join(dir, "ca"), nil)
			if err != nil {
				t.Fatal(err)
			}
			s, err := again.Issue("s", Order{Name: "s", Hosts: []string{"127.0.0.1"}, Key: leaf, Life: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			c, err := a.Issue("c", Order{Name: "alice", Key: leaf})
			if err != nil {
				t.Fatal(err)
			}
			server := load(t, Config{Cert: s.Cert, Key: s.Key, CA: a.CA()})
			if left := time.Until(server.Leaf().NotAfter); left > time.Hour {
				t.Errorf("good for %v, an hour was ordered", left)
			}
			if err := probe(t, hello(t, server.Server()), load(t, Config{Cert: c.Cert, Key: c.Key, CA: a.CA()}).Client("")); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whatever is there stays, and what fails leaves nothing behind.
func TestIssueWritesOverNothing(t *testing.T) {
	dir := t.TempDir()
	a, err := Found(dir, Order{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "half.key"), []byte("mine"))
	for name, c := range map[string]struct {
		f    func() error
		want posix.Errno
	}{
		"an authority":      {func() error { _, err := Found(dir, Order{}, nil); return err }, posix.EEXIST},
		"of half a pair":    {func() error { _, err := a.Issue("half", Order{Name: "x"}); return err }, posix.EEXIST},
		"the authority's":   {func() error { _, err := a.Issue("ca", Order{Name: "x"}); return err }, posix.EEXIST},
		"elsewhere":         {func() error { _, err := a.Issue("../x", Order{Name: "x"}); return err }, posix.EINVAL},
		"hidden":            {func() error { _, err := a.Issue(".x", Order{Name: "x"}); return err }, posix.EINVAL},
		"a URL":             {func() error { _, err := a.Issue("x", Order{Hosts: []string{"https://x"}}); return err }, posix.EINVAL},
		"an odd key":        {func() error { _, err := a.Issue("x", Order{Key: "dsa"}); return err }, posix.EINVAL},
		"no such authority": {func() error { _, err := Existing(t.TempDir(), nil); return err }, posix.ENOENT},
	} {
		if err := c.f(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 || string(get(t, filepath.Join(dir, "half.key"))) != "mine" {
		t.Errorf("there is %v", left)
	}
}

func TestShowKeystores(t *testing.T) {
	dir := t.TempDir()
	m := make1(t, filepath.Join(dir, "ca"), nil)
	ca, err := readCAs(m.a.CA())
	if err != nil {
		t.Fatal(err)
	}
	jks(t, filepath.Join(dir, "k.jks"), map[string]Config{"mine": m.server}, ca[0])
	p12(t, filepath.Join(dir, "k.p12"), m.server)
	for file, want := range map[string]int{"k.jks": 2, "k.p12": 1} {
		all, err := Show(filepath.Join(dir, file), []byte("changeit"))
		if err != nil || len(all) < want {
			t.Errorf("%s: %v, %v", file, all, err)
			continue
		}
		found := false
		for _, s := range all {
			found = found || s.Subject == "CN=wardfs server" && len(s.SHA256) == 64 && len(s.SHA1) == 40
		}
		if !found {
			t.Errorf("%s: %+v", file, all)
		}
		if _, err := Show(filepath.Join(dir, file), []byte("wrong")); !errors.Is(err, posix.EINVAL) {
			t.Errorf("%s with a wrong password: %v", file, err)
		}
	}
}

func TestCheckHost(t *testing.T) {
	for h, good := range map[string]bool{
		"files": true, "files.example.com": true, "*.example.com": true, "10.0.0.1": true, "::1": true, "a_b-c.d": true,
		"": false, "*": false, "a.*": false, "*a.b": false, "a..b": false, "-a": false, "a-": false, "a:1": false, "a b": false, "http://a": false, "ä": false, "a.b.": false,
	} {
		if err := checkHost(h); (err == nil) != good {
			t.Errorf("%q: %v", h, err)
		}
	}
}

func FuzzShow(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
	f.Add(append(jksMagic, 0, 0, 0, 2, 0, 0, 0, 1))
	f.Add([]byte{0x30, 0x80})
	file := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, data []byte) {
		if os.WriteFile(file, data, 0o600) != nil {
			t.Skip()
		}
		if all, err := Show(file, []byte("p")); err == nil && len(all) == 0 {
			t.Error("nothing, and no error")
		}
	})
}
