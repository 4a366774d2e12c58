package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Query is what a reader of the log asks for. The zero Query is everything.
type Query struct {
	User    string    // as whom, or by way of whom
	Ops     []string  // operations or groups of them
	Path    string    // Src or Dst is that or below it
	Results []string  // see Results
	Since   time.Time // zero: ever
}

// Check refuses words that nothing could match.
func (q *Query) Check() error {
	known := Operations()
	for _, o := range q.Ops {
		if !slices.Contains(known, o) && o != "lost" {
			return fmt.Errorf("unknown operation %q", o)
		}
	}
	for _, r := range q.Results {
		if !slices.Contains(Results(), r) {
			return fmt.Errorf("unknown result %q", r)
		}
	}
	return nil
}

// Match reports whether a line is asked for. One that says what is lost is, for
// it may have been.
func (q *Query) Match(x Line) bool {
	switch {
	case x.Time.Before(q.Since):
		return false
	case x.Lost > 0:
		return true
	case q.User != "" && Unescape(x.User) != q.User && Unescape(x.Via) != q.User:
		return false
	case len(q.Ops) > 0 && !slices.ContainsFunc(q.Ops, func(o string) bool { return o == "all" || o == x.Cmd || slices.Contains(groups[o], x.Cmd) }):
		return false
	case len(q.Results) > 0 && !slices.Contains(q.Results, x.Result()):
		return false
	case q.Path != "" && !below(Unescape(x.Src), q.Path) && !below(Unescape(x.Dst), q.Path):
		return false
	}
	return true
}

// Result is one of Results.
func (x *Line) Result() string {
	switch {
	case x.Succeeded:
		return "succeeded"
	case x.Allowed:
		return "failed"
	}
	return "denied"
}

func below(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimRight(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// EndedBefore reports whether old, a file that path was turned over to, has
// nothing from t on.
func EndedBefore(path, old string, t time.Time) bool {
	stamp := strings.TrimPrefix(old, path+"-")
	if len(stamp) < len(turned) {
		return false
	}
	at, err := time.Parse(turned, stamp[:len(turned)])
	return err == nil && at.Before(t.Add(-time.Second))
}
