package acl

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// TestGetfacl compares the long text with what getfacl prints.
func TestGetfacl(t *testing.T) {
	dir := scratch(t)
	if _, err := exec.LookPath("getfacl"); err != nil {
		t.Skip("no getfacl: ", err)
	}
	rng := rand.New(rand.NewPCG(13, 14))
	for i := range 30 {
		a, d := randomACL(rng, false), randomACL(rng, false)
		setACL(t, dir, XattrAccess, a)
		setACL(t, dir, XattrDefault, d)
		flag := []string{"-cpn", "-cpne", "-cpnE"}[i%3]
		out, err := exec.Command("getfacl", flag, dir).Output()
		if err != nil {
			t.Fatal(err)
		}
		s := Style{Effective: Effective(i % 3)}
		want := a.Text(s)
		s.Default = true
		if want += d.Text(s) + "\n"; string(out) != want {
			t.Fatalf("getfacl %s:\n%sours:\n%s", flag, out, want)
		}
	}
}

// TestSetfacl compares random edits of a directory with what setfacl does.
func TestSetfacl(t *testing.T) {
	dir := scratch(t)
	if _, err := exec.LookPath("setfacl"); err != nil {
		t.Skip("no setfacl: ", err)
	}
	rng := rand.New(rand.NewPCG(15, 16))
	words := []string{"u:", "u:100", "u:101", "g:", "g:200", "g:201", "m:", "o:", "d:u:", "d:u:100", "d:g:200", "d:g:", "d:m:", "d:o:"}
	perms := []string{"r", "rw", "rwX", "0", "7", "-x", "w"}
	var args []string
	for i := range 150 {
		a, d := readACL(t, dir, XattrAccess), readACL(t, dir, XattrDefault)
		mode := statMode(t, dir)
		var text []string
		for range 1 + rng.IntN(3) {
			s := words[rng.IntN(len(words))]
			if i%3 > 0 {
				s += ":" + perms[rng.IntN(len(perms))]
			}
			text = append(text, s)
		}
		args = []string{[]string{"-x", "-m", "-m"}[i%3], strings.Join(text, ",")}
		rule := MaskRule(rng.IntN(3))
		cmd := exec.Command("setfacl", append(args, map[MaskRule][]string{MaskKeep: {"-n"}, MaskUnion: {"--mask"}}[rule]...)...)
		cmd.Args = append(cmd.Args, dir)
		out, kernel := cmd.CombinedOutput()

		wantA, wantD, err := Edit(mode, a, d, changes(t, strings.Join(args, " ")), rule)
		if (err == nil) != (kernel == nil) {
			t.Fatalf("%v on %v, %v: setfacl %s, we %v", cmd.Args, a, d, out, err)
		}
		if err != nil {
			continue
		}
		m, stored := Apply(mode, wantA)
		if gotA, gotD := readACL(t, dir, XattrAccess), readACL(t, dir, XattrDefault); !gotA.Equal(stored) || !gotD.Equal(wantD) || statMode(t, dir) != m {
			t.Fatalf("%v on %v, %v: setfacl made %v, %v, we %v, %v", cmd.Args, a, d, gotA, gotD, stored, wantD)
		}
	}
}
