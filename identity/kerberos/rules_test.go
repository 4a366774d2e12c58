package kerberos

import (
	"strings"
	"testing"
)

func name(s string) Name {
	p, realm, _ := strings.Cut(s, "@")
	return Name{strings.Split(p, "/"), realm}
}

func TestRules(t *testing.T) {
	for _, c := range []struct{ want, rules, principal string }{
		{"alice", "DEFAULT", "alice@EXAMPLE.COM"},
		{"hdfs", "DEFAULT", "hdfs/nn1.example.com@EXAMPLE.COM"},
		{"alice", "DEFAULT", "alice@OTHER.COM"},
		{"", "DEFAULT", "alice@EVIL.COM"},
		// The examples of Hadoop's documentation.
		{"omalley", "RULE:[1:$1] DEFAULT", "omalley@EVIL.COM"},
		{"joe", "RULE:[1:$1@$0](.*@EVIL.COM)s/@.*//\nDEFAULT", "joe@EVIL.COM"},
		{"admin", "RULE:[2:$1](johndoe)s/^.*$/admin/ DEFAULT", "johndoe/x@EVIL.COM"},
		{"guest", "RULE:[2:$1;$2](^.*;admin$)s/;admin$// RULE:[2:$2](root)s/^.*$/guest/", "x/root@EVIL.COM"},
		{"mapred", `RULE:[2:$1@$0](([jt]t)@.*EXAMPLE\.COM)s/.*/mapred/ DEFAULT`, "jt/h@EXAMPLE.COM"},
		{"joe", "RULE:[1:$1]/L", "JOE@EVIL.COM"},
		{"bbb", "RULE:[1:$1]s/a/b/g", "aaa@R"},
		{"baa", "RULE:[1:$1]s/a/b/", "aaa@R"},
		{"x1y", "RULE:[1:$1]s/(.)b/$11y/", "xb@R"},
		{"abc", "RULE:[1:$1]s/(.*)X/$1/", "abcX@R"},
		{"abc", "RULE:[1:$1]s/nothing/x/", "abc@R"},
		{"a-b", `RULE:[2:$1/$2]s/\//-/`, "a/b@R"},
		{"exactly", "RULE:[1:$1](ex)s/.*/wrong/ RULE:[1:$1](exactly)", "exactly@R"},
		// What is no simple name, or none at all.
		{"", "RULE:[1:$1@$0]", "joe@R"},
		{"", "RULE:[2:$1/$2]", "a/b@R"},
		{"", "RULE:[1:$1]s/.*//", "joe@R"},
		{"", "RULE:[1:$1 x]", "joe@R"},
		{"", "RULE:[1:$1]", "a/b@R"},
		{"", "RULE:[2:$1]", "a@R"},
	} {
		r, err := ParseRules(c.rules, "EXAMPLE.COM", "OTHER.COM")
		if err != nil {
			t.Errorf("%q: %v", c.rules, err)
			continue
		}
		if got, err := r.User(name(c.principal)); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q of %s: %q %v, want %q", c.rules, c.principal, got, err, c.want)
		}
	}
}

func TestWrongRules(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "no rule",
		"default":                    "rule 1: neither",
		"DEFAULT RULE":               "rule 2: neither",
		"DEFAULTRULE:[1:$1]":         "follows it",
		"RULE:[:$1]":                 "no [n:format]",
		"RULE:[0:x]":                 "no [n:format]",
		"RULE:[1$1]":                 "no [n:format]",
		"RULE:[1:$1":                 "no [n:format]",
		"RULE:[1:$2]":                "$2 in the format",
		"RULE:[1:$]":                 "$ in the format",
		"RULE:[1:$1](a":              "not closed",
		"RULE:[1:$1](a[)":            "missing closing",
		"RULE:[1:$1]s/a/b":           "cut short",
		"RULE:[1:$1]s/a":             "cut short",
		"RULE:[1:$1]s/(/b/":          "missing closing",
		"RULE:[1:$1]s/a/b/x":         "follows it",
		"RULE:[1:$1](a)(b)":          "follows it",
		"RULE:[99999999999999999:x]": "no [n:format]",
	} {
		if _, err := ParseRules(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestNameIsEscaped(t *testing.T) {
	if got := (Name{[]string{"a/b", `c\`}, "R@S"}).String(); got != `a\/b/c\\@R\@S` {
		t.Error(got)
	}
}

func FuzzRules(f *testing.F) {
	f.Add("RULE:[2:$1@$0](.*@R)s/@.*//g/L DEFAULT", "a", "b", "R")
	f.Fuzz(func(t *testing.T, text, a, b, realm string) {
		r, err := ParseRules(text, "R")
		if err != nil {
			return
		}
		for _, n := range []Name{{[]string{a}, realm}, {[]string{a, b}, realm}, {nil, realm}} {
			if user, err := r.User(n); err == nil && (user == "" || strings.ContainsAny(user, "/@ \n")) {
				t.Errorf("%q of %s", user, n)
			}
		}
	})
}
