package fs

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newStat(e *Env) *cobra.Command {
	var follow, asJSON bool
	c := &cobra.Command{
		Use: "stat PATH...", Short: "print all that is known of a file, as stat(1)", Args: e.Args("PATH..."),
		RunE: func(c *cobra.Command, args []string) error {
			found := []entry{}
			e.each(c.Context(), args, func(p Place) error {
				x, err := p.stat(c.Context(), follow)
				if err != nil {
					return err
				}
				found = append(found, x)
				if !asJSON {
					x.print(e)
				}
				return nil
			})
			if asJSON {
				return e.printJSON(found)
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&follow, "dereference", "L", false, "follow a symbolic link")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

func (p Place) stat(ctx context.Context, follow bool) (entry, error) {
	a, err := p.Find(ctx, follow)
	if err != nil {
		return entry{}, err
	}
	x := p.entry(p.Shown, p.Shown, a)
	return x, p.complete(ctx, &x)
}

// print has the lines of stat(1), but for the device, which is none of ours.
func (x entry) print(e *Env) {
	name, plus := quote(x.name), ""
	if x.Target != "" {
		name += " -> " + quote(x.Target)
	}
	if x.ACL {
		plus = "+"
	}
	special := ""
	if x.Device != "" {
		special = "     Device type: " + x.Device
	}
	fmt.Fprintf(e.Stdout, "  File: %s\n", name)
	fmt.Fprintf(e.Stdout, "  Size: %-10d\tBlocks: %-10d IO Block: %-6d %s\n", x.Size, (x.Alloc+511)/512, block, x.Type)
	fmt.Fprintf(e.Stdout, " Inode: %-10d\tLinks: %d%s\n", x.Ino, x.Nlink, special)
	fmt.Fprintf(e.Stdout, "Access: (%04o/%s%s)  Uid: (%5d/%8s)   Gid: (%5d/%8s)\n", x.attr.Mode.Perm(), letters(x.attr.Mode), plus, x.UID, quote(x.Owner), x.GID, quote(x.Group))
	const form = "2006-01-02 15:04:05.000000000 -0700"
	fmt.Fprintf(e.Stdout, "Access: %s\nModify: %s\nChange: %s\n Birth: %s\n", x.Atime.Format(form), x.Mtime.Format(form), x.Ctime.Format(form), x.Btime.Format(form))
}
