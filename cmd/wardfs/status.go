package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/client/callers"
	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/cmd/wardfs/control"
)

func newStatus(e *env) *cobra.Command {
	var asJSON, metrics bool
	c := &cobra.Command{
		Use: "status [MNT]", Short: "tell how the mounts and servers of this user on this machine are doing",
		Long: `status asks the mount on MNT, or the server over the folder MNT, or without MNT all that run as this
user on this machine, through unix sockets that only this user can open.`,
		Args: takes(0, 1, "MNT"),
		RunE: func(c *cobra.Command, args []string) error {
			if metrics {
				return runMetrics(c.Context(), e, args)
			}
			return runStatus(c.Context(), e, args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&metrics, "metrics", false, "print the metrics of MNT in Prometheus's text form instead")
	c.MarkFlagsMutuallyExclusive("json", "metrics")
	return c
}

// peers are whom the arguments mean.
func peers(e *env, args []string) (all []control.Peer, err error) {
	path := ""
	if len(args) > 0 {
		if path, err = realPath(args[0]); err != nil {
			return nil, err
		}
	}
	for _, dir := range control.Dirs(os.Geteuid(), e.getenv) {
		if path == "" {
			all = append(all, control.List(dir)...)
		} else {
			all = append(all, control.Find(dir, "mount", path), control.Find(dir, "server", path))
		}
	}
	return all, nil
}

// askTime bounds a question: a peer may be another user's, and stuck.
const askTime = 5 * time.Second

// ask asks one peer for its status; nil if nobody answers.
func ask(ctx context.Context, p control.Peer) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var text bytes.Buffer
	if err := p.Do(ctx, "GET", "/status", &text); errors.Is(err, control.ErrNobody) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

func runStatus(ctx context.Context, e *env, args []string, asJSON bool) error {
	all, err := peers(e, args)
	if err != nil {
		return err
	}
	answers := []json.RawMessage{}
	for _, p := range all {
		text, err := ask(ctx, p)
		if err != nil {
			return err
		}
		if text != nil {
			answers = append(answers, text)
		}
	}
	if len(answers) == 0 && len(args) > 0 {
		return nobody(args[0])
	}
	if asJSON {
		return printJSON(e, answers)
	}
	if len(answers) == 0 {
		fmt.Fprintln(e.stdout, "nothing of wardfs runs here as this user")
	}
	for i, a := range answers {
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		if err := printStatus(e.stdout, a); err != nil {
			return err
		}
	}
	return nil
}

// nobody says why nobody answers for path.
func nobody(path string) error {
	real, err := realPath(path)
	if err != nil {
		return err
	}
	if m, ok := mountAt(real); ok && m.Type == fsType {
		return fail(exitNotMounted, "ask as the user who mounted it; if its daemon was killed, `wardfs umount "+real+"`", "nobody answers for the mount on %s", real)
	}
	return fail(exitNotMounted, "`wardfs status` lists what runs here", "no mount or server of this user is at %s", real)
}

func runMetrics(ctx context.Context, e *env, args []string) error {
	if len(args) == 0 {
		return usage("write wardfs status MNT --metrics", "status: --metrics needs MNT")
	}
	all, err := peers(e, args)
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := p.Do(ctx, "GET", "/metrics", e.stdout); !errors.Is(err, control.ErrNobody) {
			return err
		}
	}
	return nobody(args[0])
}

// printStatus prints one answer for people.
func printStatus(out io.Writer, answer []byte) error {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(answer, &kind); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	defer w.Flush()
	if kind.Kind == "server" {
		var s serverStatus
		if err := json.Unmarshal(answer, &s); err != nil {
			return err
		}
		s.print(w)
		return nil
	}
	var m mountStatus
	if err := json.Unmarshal(answer, &m); err != nil {
		return err
	}
	m.print(w)
	return nil
}

func (s serverStatus) print(w io.Writer) {
	row := rows(w)
	row("server", s.Dir)
	row("  listens", s.Listen+"  metrics "+orDash(s.Metrics))
	row("  version", fmt.Sprintf("%s  process %d  up %s", s.Version, s.PID, age(s.Server.Since)))
	row("  disk", fmt.Sprintf("%s free of %s", human(s.Server.Free), human(s.Server.Capacity)))
	row("  certificates", expiry(s.NotAfter))
	row("  sessions", fmt.Sprint(len(s.Server.Sessions)))
	for _, x := range s.Server.Sessions {
		here := "connected"
		if !x.Attached {
			here = "away"
		}
		row("    "+acting(x.Principal, x.Via), fmt.Sprintf("%s  %s  %s  since %s  %s", x.Mechanism, x.Path, x.Client, x.Since.Format(time.DateTime), here))
	}
}

func (m mountStatus) print(w io.Writer) {
	row := rows(w)
	s, f := m.Client.Session, m.Client.Files
	row("mount", m.Mountpoint)
	row("  source", m.Source)
	if s.Session != 0 {
		row("  server", fmt.Sprintf("%s  version %s  %s", s.Server, orDash(s.Release), connected(s.Connected, s.LastError)))
		row("  principal", fmt.Sprintf("%s (%s)  identity %s", acting(s.Principal, s.Via), s.Mechanism, m.Identity))
		row("  session", fmt.Sprintf("%d  epoch %d  open %d  calls under way %d", s.Session, s.Epoch, s.Handles, s.Calls))
	} else {
		row("  principal", "none of its own  identity "+m.Identity)
	}
	if c := m.Client.Callers; c != nil {
		row("  users", fmt.Sprintf("%d sessions  handshakes %d  failed %d  calls refused %d", c.Sessions, c.Handshakes, c.Failures, c.Refusals))
		for _, u := range c.Users[:min(len(c.Users), mostUsers)] {
			row(fmt.Sprintf("  user %d", u.UID), lineOf(u))
		}
		if n := len(c.Users) - mostUsers; n > 0 {
			row("  ", fmt.Sprintf("and %d more: --json shows all", n))
		}
	}
	row("  to write", fmt.Sprintf("%s of %d files", human(uint64(max(f.Buffered, 0))), f.Files))
	row("  cache", fmt.Sprintf("%s  hits %d  misses %d", human(uint64(max(f.Cached, 0))), f.CacheHits, f.CacheMisses))
	row("  certificates", expiry(m.NotAfter))
	row("  version", fmt.Sprintf("%s  process %d  up %s", m.Version, m.PID, age(m.Since)))
}

// mostUsers is how many users of a mount are shown to people.
const mostUsers = 50

// lineOf is how one user of a mount stands.
func lineOf(u callers.Line) string {
	s := u.Session
	if s == nil {
		return "refused: " + u.Refused
	}
	text := fmt.Sprintf("%s (%s)  open %d", acting(s.Principal, s.Via), s.Mechanism, s.Handles)
	if !s.Expires.IsZero() {
		text += "  until " + s.Expires.Format(time.DateTime)
	}
	if why := cmp.Or(s.Refused, u.Refused); why != "" {
		text += "  refused: " + why
	} else if !s.Connected {
		text += "  " + connected(false, s.LastError)
	}
	return text
}

func rows(w io.Writer) func(string, string) {
	return func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", oneLine(name), oneLine(value)) }
}

// acting is "user1" or "user1 via service1".
func acting(principal, via string) string {
	if via == "" {
		return principal
	}
	return principal + " via " + via
}

func connected(yes bool, last string) string {
	if yes {
		return "connected"
	}
	return "away: " + orDash(last)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func age(since time.Time) string { return time.Since(since).Truncate(time.Second).String() }

func expiry(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return fmt.Sprintf("good until %s (%d days)", t.Format(time.DateOnly), int(time.Until(*t).Hours()/24))
}

// human is a size for people, to one decimal.
func human(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return config.Size(n).String()
	}
	return fmt.Sprintf("%.1f%s", v, units[i])
}
