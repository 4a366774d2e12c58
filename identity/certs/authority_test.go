package certs

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAuthorityIsKept(t *testing.T) {
	dir := t.TempDir()
	first := make1(t, dir, nil)
	files := map[string][]byte{}
	for _, f := range []string{first.a.CA(), first.a.caKey(), first.server.Cert, first.server.Key, first.client.Cert, first.client.Key} {
		files[f] = get(t, f)
		want := os.FileMode(0o644)
		if strings.HasSuffix(f, ".key") {
			want = 0o600
		}
		if st, err := os.Stat(f); err != nil || st.Mode() != want {
			t.Errorf("%s: mode %v, %v", f, st.Mode(), err)
		}
	}
	make1(t, dir, nil)
	for f, was := range files {
		if !bytes.Equal(was, get(t, f)) {
			t.Errorf("%s was written again", f)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != len(files) {
		t.Errorf("litter: %v", left)
	}
}

func TestLeavesAreRenewed(t *testing.T) {
	dir := t.TempDir()
	make1(t, dir, ago(380*24*time.Hour)) // 17 days left
	m := make1(t, dir, nil)
	if left := time.Until(load(t, m.server).NotAfter()); left < 300*24*time.Hour {
		t.Errorf("%v left", left)
	}
	was := load(t, m.server).Leaf()
	m = make1(t, dir, nil, append(Hosts(), "new.example.com")...)
	if load(t, m.server).Leaf().Equal(was) {
		t.Error("a new name changed nothing")
	}
	if c, err := m.a.Client("client", "bob"); err != nil || load(t, Config{Cert: c.Cert, Key: c.Key}).Principal() != "bob" {
		t.Errorf("a new principal changed nothing: %v", err)
	}
}

func TestLeavesDoNotOutliveTheirAuthority(t *testing.T) {
	dir := t.TempDir()
	make1(t, dir, ago(caLife-100*24*time.Hour))
	m := make1(t, dir, nil)
	leaf, ca := load(t, m.server).Leaf(), m.a.cert
	if leaf.NotAfter.After(ca.NotAfter) {
		t.Errorf("leaf until %v, authority until %v", leaf.NotAfter, ca.NotAfter)
	}
}

func TestAuthorityIsNeverOverwritten(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(a *Authority)
		want  string
	}{
		"key lost":      {func(a *Authority) { os.Remove(a.caKey()) }, "has lost its key"},
		"damaged":       {func(a *Authority) { put(t, a.CA(), []byte("junk")) }, "holds no certificate"},
		"key of others": {func(a *Authority) { put(t, a.caKey(), get(t, make1(t, t.TempDir(), nil).a.caKey())) }, "don't make a pair"},
		"a leaf": {func(a *Authority) {
			put(t, a.CA(), get(t, a.dir+"/server.pem"))
			put(t, a.caKey(), get(t, a.dir+"/server.key"))
		}, "not an authority"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a := make1(t, dir, nil).a
			tc.spoil(a)
			before, _ := os.ReadFile(a.CA())
			if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
			if after, _ := os.ReadFile(a.CA()); !bytes.Equal(before, after) {
				t.Error("it was written over")
			}
		})
	}
	dir := t.TempDir()
	make1(t, dir, ago(caLife+time.Hour))
	if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired authority: %v", err)
	}
}

func TestAuthorityAfterACrashWhileItWasMade(t *testing.T) {
	dir := t.TempDir()
	a := make1(t, dir, nil).a
	key := get(t, a.caKey())
	os.Remove(a.CA())
	make1(t, dir, nil)
	if !bytes.Equal(key, get(t, a.caKey())) {
		t.Error("the key was thrown away")
	}
}
