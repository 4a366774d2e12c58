package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/client/remote"
	"github.com/wardfs/wardfs/cmd/wardfs/config"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/proto"
)

const aboutQuota = `A quota bounds the bytes and inodes of a directory with all below it, of a user, or of a group. Without
--of-user or --of-group it is the directory PATH that is meant; with one of them PATH only says which
server. A NAME is a user's or group's; a number is one that has no name. docs/quotas.md has the rules.`

// quotas is one verb under way: which quota on which server.
type quotas struct {
	r           *reach
	user, group string
	asJSON      bool
	client      *client.Mount
	remote.Quotas
	m *proto.Quota
}

// The kinds on the wire.
const (
	quotaDir   = 1
	quotaUser  = 2
	quotaGroup = 3
)

func newQuota(e *env) *cobra.Command {
	r := newReach(e, "wardfs admin quota")
	c := &cobra.Command{
		Use: "quota", Short: "bound what directories, users and groups use", Long: aboutQuota,
		Args: unknownVerb, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newQuotaSet(r), newQuotaGet(e, r), newQuotaList(e, r), newQuotaRm(r), newQuotaCheck(e, r))
	r.register(c.PersistentFlags())
	code := exitOK
	for _, v := range c.Commands() {
		v.RunE = ending(v.RunE, r, &code)
	}
	return c
}

// whose adds the flags that say whose quota is meant.
func (q *quotas) whose(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&q.user, "of-user", "", "of this user, not of PATH: `NAME`")
	c.Flags().StringVar(&q.group, "of-group", "", "of this group, not of PATH: `NAME`")
	c.MarkFlagsMutuallyExclusive("of-user", "of-group")
	return c
}

// reach finds the server of path, and whose quota is meant.
func (q *quotas) reach(ctx context.Context, path string) error {
	p, err := q.r.place(ctx, path)
	if err != nil {
		return err
	}
	for _, t := range q.r.open {
		q.client = cmp.Or(q.client, t.client)
	}
	q.Quotas = q.client.Quotas(p.Me)
	q.m = &proto.Quota{}
	switch {
	case q.user != "":
		q.m.Kind = quotaUser
		q.m.Id, err = q.owner(ctx, idmap.User, q.user)
	case q.group != "":
		q.m.Kind = quotaGroup
		q.m.Id, err = q.owner(ctx, idmap.Group, q.group)
	default:
		var a posix.Attr
		a, err = p.Find(ctx, true)
		q.m.Kind, q.m.Id = quotaDir, uint64(a.Ino)
	}
	return err
}

func (q *quotas) owner(ctx context.Context, k idmap.Kind, name string) (uint64, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return n, nil
	}
	ids, err := q.client.Table().IDs(ctx, k, []string{name})
	if err == nil && ids[0] == idmap.NoID {
		err = fmt.Errorf("the server knows no %s %q", k, name)
	}
	if err != nil {
		return 0, err
	}
	return uint64(ids[0]), nil
}

// find answers the quota that is meant.
func (q *quotas) find(ctx context.Context) (*proto.Quota, error) {
	all, err := q.List(ctx)
	for _, m := range all {
		if m.GetKind() == q.m.GetKind() && m.GetId() == q.m.GetId() {
			return m, nil
		}
	}
	return nil, err
}

func newQuotaSet(r *reach) *cobra.Command {
	q := &quotas{r: r}
	var bytes, inodes string
	c := &cobra.Command{
		Use: "set PATH", Short: "set limits; what is not given stays, 0 is no limit", Args: takes(1, 1, "PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if bytes == "" && inodes == "" {
				return usage("give --bytes SIZE, --inodes N or both", "no limit is given")
			}
			if err := q.reach(c.Context(), args[0]); err != nil {
				return err
			}
			was, err := q.find(c.Context())
			if err != nil {
				return err
			}
			q.m.Bytes, q.m.Inodes = was.GetBytes(), was.GetInodes()
			if bytes != "" {
				size, err := config.ParseSize(bytes)
				if err != nil {
					return usage("write as 10GiB", "--bytes: %w", err)
				}
				q.m.Bytes = uint64(size)
			}
			if inodes != "" {
				if q.m.Inodes, err = strconv.ParseUint(inodes, 10, 63); err != nil {
					return usage("write a number", "--inodes: %q is no number", inodes)
				}
			}
			return q.Set(c.Context(), q.m)
		},
	}
	c.Flags().StringVar(&bytes, "bytes", "", "most bytes: `SIZE`, as 10GiB")
	c.Flags().StringVar(&inodes, "inodes", "", "most files, directories and others: `N`")
	return q.whose(c)
}

func newQuotaGet(e *env, r *reach) *cobra.Command {
	q := &quotas{r: r}
	c := &cobra.Command{
		Use: "get PATH", Short: "show one quota", Args: takes(1, 1, "PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := q.reach(c.Context(), args[0]); err != nil {
				return err
			}
			m, err := q.find(c.Context())
			if err == nil && m == nil {
				err = fail(exitFailure, "`wardfs admin quota list` shows those that there are", "there is no such quota")
			}
			if err != nil {
				return err
			}
			return q.print(c.Context(), e, []*proto.Quota{m})
		},
	}
	c.Flags().BoolVar(&q.asJSON, "json", false, "as JSON")
	return q.whose(c)
}

func newQuotaList(e *env, r *reach) *cobra.Command {
	q := &quotas{r: r}
	c := &cobra.Command{
		Use: "list PATH", Short: "show all quotas", Args: takes(1, 1, "PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := q.reach(c.Context(), args[0]); err != nil {
				return err
			}
			all, err := q.List(c.Context())
			if err != nil {
				return err
			}
			return q.print(c.Context(), e, all)
		},
	}
	c.Flags().BoolVar(&q.asJSON, "json", false, "as JSON")
	return c
}

func newQuotaRm(r *reach) *cobra.Command {
	q := &quotas{r: r}
	c := &cobra.Command{
		Use: "rm PATH", Short: "take a quota away", Args: takes(1, 1, "PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := q.reach(c.Context(), args[0]); err != nil {
				return err
			}
			return q.Remove(c.Context(), q.m)
		},
	}
	return q.whose(c)
}

func newQuotaCheck(e *env, r *reach) *cobra.Command {
	q := &quotas{r: r}
	repair := false
	c := &cobra.Command{
		Use: "check PATH", Short: "count everything anew and compare", Args: takes(1, 1, "PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := q.reach(c.Context(), args[0]); err != nil {
				return err
			}
			wrong, err := q.Check(c.Context(), repair)
			switch {
			case err != nil:
				return err
			case wrong == 0:
				fmt.Fprintln(e.stdout, "all counters are right")
				return nil
			case repair:
				fmt.Fprintf(e.stdout, "%d counters were wrong and are right now\n", wrong)
				return nil
			}
			return fail(exitFailure, "`wardfs admin quota check --repair` sets them right", "%d counters are wrong", wrong)
		},
	}
	c.Flags().BoolVar(&repair, "repair", false, "set right what is wrong; nothing else changes meanwhile")
	return c
}

// shown is a quota as it is printed.
type shown struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"` // path or name
	ID         uint64 `json:"id"`
	Bytes      uint64 `json:"bytes"` // the limits; 0 is none
	Inodes     uint64 `json:"inodes"`
	UsedBytes  uint64 `json:"used_bytes"`
	UsedInodes uint64 `json:"used_inodes"`
	Counting   bool   `json:"counting"`
}

func (q *quotas) show(ctx context.Context, m *proto.Quota) (shown, error) {
	s := shown{
		ID: m.GetId(), Bytes: m.GetBytes(), Inodes: m.GetInodes(),
		UsedBytes: m.GetUsedBytes(), UsedInodes: m.GetUsedInodes(), Counting: m.GetCounting(),
	}
	kind := idmap.User
	switch m.GetKind() {
	case quotaDir:
		s.Kind, s.Name = "directory", string(m.GetPath())
		return s, nil
	case quotaUser:
		s.Kind = "user"
	default:
		s.Kind, kind = "group", idmap.Group
	}
	names, err := q.client.Table().Names(ctx, kind, []uint32{uint32(s.ID)})
	if err == nil {
		s.Name = cmp.Or(names[0], strconv.FormatUint(s.ID, 10))
	}
	return s, err
}

func (q *quotas) print(ctx context.Context, e *env, list []*proto.Quota) error {
	all := []shown{}
	for _, m := range list {
		s, err := q.show(ctx, m)
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	if q.asJSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	limit := func(n uint64, text string) string {
		if n == 0 {
			return "-"
		}
		return text
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "QUOTA OF\tBYTES\tLIMIT\tINODES\tLIMIT\t")
	for _, s := range all {
		state := ""
		if s.Counting {
			state = "counting"
		}
		fmt.Fprintf(w, "%s %q\t%s\t%s\t%d\t%s\t%s\n", s.Kind, s.Name, config.Size(s.UsedBytes), limit(s.Bytes, config.Size(s.Bytes).String()),
			s.UsedInodes, limit(s.Inodes, strconv.FormatUint(s.Inodes, 10)), state)
	}
	return w.Flush()
}
