package fs

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

// duFlags are those of du(1) that we have.
type duFlags struct{ sum, all, human, apparent, json bool }

// usage is a line of du.
type usage struct {
	Path   string `json:"path"`
	Bytes  uint64 `json:"bytes"`
	Inodes uint64 `json:"inodes"`
}

func newDu(e *Env) *cobra.Command {
	var f duFlags
	c := &cobra.Command{
		Use: "du PATH...", Short: "tell how much room directories take, as du(1)", Args: e.Args("PATH..."),
		Long: `du prints how many KiB are stored for each directory below PATH, and for PATH. A file with several names counts once.`,
		RunE: func(c *cobra.Command, args []string) error {
			d := &summer{e, f, map[posix.Ino]bool{}, []usage{}}
			e.each(c.Context(), args, func(p Place) error {
				a, err := p.Find(c.Context(), false)
				if err != nil {
					return err
				}
				_, err = d.sum(c.Context(), p, a, true)
				return err
			})
			if f.json {
				return e.printJSON(d.found)
			}
			return nil
		},
	}
	s := c.Flags()
	s.BoolVarP(&f.sum, "summarize", "s", false, "only for PATH itself")
	s.BoolVarP(&f.all, "all", "a", false, "for files too")
	s.BoolVar(&f.human, "human-readable", false, "sizes as 1.5M; du(1) has -h for it")
	s.BoolVar(&f.apparent, "apparent-size", false, "how long files are, not what is stored for them")
	s.BoolVar(&f.json, "json", false, "as JSON")
	return c
}

// summer is one run of du.
type summer struct {
	*Env
	f     duFlags
	seen  map[posix.Ino]bool // inodes with several names
	found []usage
}

func (d *summer) sum(ctx context.Context, p Place, a posix.Attr, top bool) (usage, error) {
	u := usage{Path: p.Shown}
	if a.Nlink > 1 && !a.Mode.IsDir() {
		if d.seen[a.Ino] {
			return u, nil
		}
		d.seen[a.Ino] = true
	}
	u.Bytes, u.Inodes = a.Alloc, 1
	if d.f.apparent && a.Mode.IsReg() {
		u.Bytes = a.Size
	}
	if a.Mode.IsDir() {
		err := p.list(ctx, a.Ino, func(e posix.Dirent) error {
			if e.Name == "." || e.Name == ".." {
				return nil
			}
			below, err := d.sum(ctx, p.in(e.Name), e.Attr, false)
			if err != nil {
				d.Report(wrap(p.in(e.Name).Shown, err))
			}
			u.Bytes, u.Inodes = u.Bytes+below.Bytes, u.Inodes+below.Inodes
			return ctx.Err()
		})
		if err != nil {
			return u, err
		}
	}
	if top || !d.f.sum && (a.Mode.IsDir() || d.f.all) {
		return u, d.print(u)
	}
	return u, nil
}

func (d *summer) print(u usage) error {
	if d.f.json {
		d.found = append(d.found, u)
		return nil
	}
	size := strconv.FormatUint((u.Bytes+1023)/1024, 10)
	if d.f.human {
		size = human(u.Bytes)
	}
	_, err := fmt.Fprintf(d.Stdout, "%s\t%s\n", size, quote(u.Path))
	return err
}
