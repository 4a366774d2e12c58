package audit

import (
	"testing"
	"time"
)

func TestQuery(t *testing.T) {
	x := Line{Time: moment, User: "alice", Via: `host\x20one`, Cmd: "rename", Src: `/a\x09b/c`, Dst: "/d/e", Allowed: true, Errno: "ENOENT"}
	for name, tc := range map[string]struct {
		q    Query
		want bool
	}{
		"all":          {Query{}, true},
		"user":         {Query{User: "alice"}, true},
		"via":          {Query{User: "host one"}, true},
		"other":        {Query{User: "bob"}, false},
		"op":           {Query{Ops: []string{"mkdir", "rename"}}, true},
		"group":        {Query{Ops: []string{"write"}}, true},
		"other group":  {Query{Ops: []string{"read"}}, false},
		"path":         {Query{Path: "/a\tb"}, true},
		"path itself":  {Query{Path: "/d/e/"}, true},
		"no path":      {Query{Path: "/d/ee"}, false},
		"half a name":  {Query{Path: "/d/"}, true},
		"root":         {Query{Path: "/"}, true},
		"result":       {Query{Results: []string{"failed"}}, true},
		"other result": {Query{Results: []string{"denied", "succeeded"}}, false},
		"since":        {Query{Since: moment}, true},
		"too late":     {Query{Since: moment.Add(time.Second)}, false},
	} {
		if err := tc.q.Check(); err != nil || tc.q.Match(x) != tc.want {
			t.Errorf("%s: got %v, %v", name, !tc.want, err)
		}
	}
	if q := (Query{User: "bob"}); !q.Match(Line{Time: moment, Cmd: "lost", Lost: 3}) {
		t.Error("what is lost is not told")
	}
	for _, q := range []Query{{Ops: []string{"mkdri"}}, {Results: []string{"refused"}}} {
		if q.Check() == nil {
			t.Errorf("%+v is taken", q)
		}
	}
}

func TestEndedBefore(t *testing.T) {
	const path = "/x/audit.log"
	old := path + "-" + moment.Format(turned) + "-000001"
	if EndedBefore(path, old, moment) || !EndedBefore(path, old, moment.Add(time.Hour)) || EndedBefore(path, path+"-odd", moment.Add(time.Hour)) {
		t.Error("a file that was turned over is taken for older or newer than it is")
	}
}
