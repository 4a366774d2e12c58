package fs

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/wardfs/wardfs/posix"
)

// lsFlags are those of ls(1) that a listing by lines has.
type lsFlags struct {
	long, all, almost, dir, recursive, inode, numeric, human, byTime, bySize, reverse, full, json bool
}

func newLs(e *Env) *cobra.Command {
	var f lsFlags
	c := &cobra.Command{
		Use: "ls PATH...", Short: "list directories, as ls(1)", Args: e.Args("PATH..."),
		Long: `ls lists directories, a name on each line, as ls(1) does where it writes to no terminal. A name with bytes
that can't be shown is written $'...', as a shell reads it. With --json it is one array of all that is listed.`,
		RunE: func(c *cobra.Command, args []string) error {
			l := &lister{Env: e, f: f, many: len(args) > 1 || f.recursive}
			e.each(c.Context(), args, func(p Place) error { return l.path(c.Context(), p) })
			if f.json {
				return e.printJSON(slices.Concat([]entry{}, l.found))
			}
			return nil
		},
	}
	s := c.Flags()
	s.BoolVarP(&f.long, "long", "l", false, "with mode, links, owner, group, size and time; + after the mode says that there is an ACL")
	s.BoolVarP(&f.all, "all", "a", false, "names that begin with a dot too")
	s.BoolVarP(&f.almost, "almost-all", "A", false, "the same without . and ..")
	s.BoolVarP(&f.dir, "directory", "d", false, "directories themselves, not what is in them")
	s.BoolVarP(&f.recursive, "recursive", "R", false, "what is in directories below too")
	s.BoolVarP(&f.inode, "inode", "i", false, "with the inode number")
	s.BoolVarP(&f.numeric, "numeric-uid-gid", "n", false, "as -l, with numbers for owner and group")
	s.BoolVar(&f.human, "human-readable", false, "sizes as 1.5M; ls(1) has -h for it")
	s.BoolVarP(&f.byTime, "time", "t", false, "newest first")
	s.BoolVarP(&f.bySize, "size", "S", false, "largest first")
	s.BoolVarP(&f.reverse, "reverse", "r", false, "in reverse order")
	s.BoolVar(&f.full, "full-time", false, "as -l, with the whole time")
	s.BoolVar(&f.json, "json", false, "as JSON")
	return c
}

// lister is one run of ls.
type lister struct {
	*Env
	f     lsFlags
	many  bool // say which directory it is
	begun bool // something was printed
	found []entry
}

func (l *lister) path(ctx context.Context, p Place) error {
	long := l.f.long || l.f.numeric || l.f.full
	a, err := p.Find(ctx, !long && !l.f.dir)
	if err != nil {
		return err
	}
	if a.Mode.IsDir() && !l.f.dir {
		return l.directory(ctx, p, a)
	}
	return l.show(ctx, p.Tree, []entry{p.entry(p.Shown, p.Shown, a)}, false)
}

func (l *lister) directory(ctx context.Context, p Place, dir posix.Attr) error {
	var all []entry
	err := p.list(ctx, dir.Ino, func(d posix.Dirent) error {
		if d.Name[0] != '.' || l.f.all || l.f.almost && d.Name != "." && d.Name != ".." {
			all = append(all, p.entry(p.in(d.Name).Shown, d.Name, d.Attr))
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.sort(all)
	if l.many && !l.f.json {
		if l.begun {
			fmt.Fprintln(l.Stdout)
		}
		fmt.Fprintf(l.Stdout, "%s:\n", quote(p.Shown))
	}
	if err := l.show(ctx, p.Tree, all, true); err != nil || !l.f.recursive {
		return err
	}
	for _, x := range all {
		if !x.attr.Mode.IsDir() || x.name == "." || x.name == ".." {
			continue
		}
		if err := l.directory(ctx, p.in(x.name), x.attr); err != nil {
			l.Report(wrap(p.in(x.name).Shown, err))
		}
	}
	return nil
}

// list calls f for each entry of a directory, in the directory's order.
func (t *Tree) list(ctx context.Context, dir posix.Ino, f func(posix.Dirent) error) error {
	for from := posix.Cookie(0); ; {
		some, err := t.Readdir(ctx, dir, 0, from, 1024, true)
		if err != nil || len(some) == 0 {
			return err
		}
		for _, d := range some {
			if err := f(d); err != nil {
				return err
			}
		}
		from = some[len(some)-1].Next
	}
}

func (l *lister) sort(all []entry) {
	slices.SortFunc(all, func(a, b entry) int {
		c := cmp.Compare(a.name, b.name)
		switch {
		case l.f.byTime:
			c = cmp.Or(b.Mtime.Compare(a.Mtime), c)
		case l.f.bySize:
			c = cmp.Or(cmp.Compare(b.Size, a.Size), c)
		}
		if l.f.reverse {
			return -c
		}
		return c
	})
}

// show prints entries, or keeps them for --json.
func (l *lister) show(ctx context.Context, t *Tree, all []entry, total bool) error {
	l.begun = true
	long := l.f.long || l.f.numeric || l.f.full
	if long || l.f.json {
		var g errgroup.Group
		g.SetLimit(32)
		for i := range all {
			g.Go(func() error {
				if err := t.complete(ctx, &all[i]); posix.ErrnoOf(err) != posix.ENOENT && posix.ErrnoOf(err) != posix.ESTALE {
					return err
				}
				return nil // removed meanwhile
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	if l.f.json {
		l.found = append(l.found, all...)
		return nil
	}
	if long && total {
		var blocks uint64
		for _, x := range all {
			blocks += (x.Alloc + 1023) / 1024
		}
		fmt.Fprintf(l.Stdout, "total %d\n", blocks)
	}
	if long {
		return l.table(all)
	}
	for _, x := range all {
		if l.f.inode {
			fmt.Fprintf(l.Stdout, "%d ", x.Ino)
		}
		if _, err := fmt.Fprintln(l.Stdout, quote(x.name)); err != nil {
			return err
		}
	}
	return nil
}
