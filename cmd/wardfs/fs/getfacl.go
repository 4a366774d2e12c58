package fs

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// shownACL is a file's ACLs in --json: entries in the short form of text.
type shownACL struct {
	Path    string `json:"path"`
	Owner   string `json:"owner"`
	Group   string `json:"group"`
	Mode    string `json:"mode"`
	Access  string `json:"access"`
	Default string `json:"default,omitempty"`
}

func newGetfacl(e *Env) *cobra.Command {
	var deep, numeric, bare, asJSON bool
	c := &cobra.Command{
		Use: "getfacl PATH...", Short: "print ACLs, as getfacl(1)", Args: e.Args("PATH..."),
		RunE: func(c *cobra.Command, args []string) error {
			all := []shownACL{}
			e.each(c.Context(), args, func(p Place) error {
				a, err := p.Find(c.Context(), true)
				if err != nil {
					return err
				}
				return e.down(c.Context(), p, a, deep, false, func(p Place, a posix.Attr) error {
					if a.Mode.IsLink() {
						return nil
					}
					x, text, err := p.getfacl(c.Context(), a, numeric, bare)
					if err == nil && !asJSON {
						_, err = fmt.Fprintln(e.Stdout, text)
					}
					all = append(all, x)
					return err
				})
			})
			if asJSON {
				return e.printJSON(all)
			}
			return nil
		},
	}
	s := c.Flags()
	s.BoolVarP(&deep, "recursive", "R", false, "all below a directory too")
	s.BoolVarP(&numeric, "numeric", "n", false, "numbers for users and groups")
	s.BoolVarP(&bare, "omit-header", "c", false, "without the lines of remarks")
	s.BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// acls reads both ACLs; the access ACL is never nil.
func (t *Tree) acls(ctx context.Context, a posix.Attr) (access, def acl.ACL, err error) {
	if access, err = t.acl(ctx, a.Ino, acl.XattrAccess); err != nil {
		return nil, nil, err
	}
	if access == nil {
		access = acl.FromMode(a.Mode)
	}
	if a.Mode.IsDir() {
		def, err = t.acl(ctx, a.Ino, acl.XattrDefault)
	}
	return access, def, err
}

// acl reads one ACL, nil if there is none.
func (t *Tree) acl(ctx context.Context, ino posix.Ino, name string) (acl.ACL, error) {
	b, err := t.Getxattr(ctx, ino, name)
	if without(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return acl.DecodeXattr(b)
}

func (p Place) getfacl(ctx context.Context, a posix.Attr, numeric, bare bool) (shownACL, string, error) {
	access, def, err := p.acls(ctx, a)
	if err != nil {
		return shownACL{}, "", err
	}
	names, owner, group := p.Names, p.user(a.UID), p.group(a.GID)
	if numeric {
		names, owner, group = acl.Names{}, strconv.FormatUint(uint64(a.UID), 10), strconv.FormatUint(uint64(a.GID), 10)
	}
	short := acl.Style{Names: names, Short: true}
	x := shownACL{p.Shown, owner, group, "0" + strconv.FormatUint(uint64(a.Mode.Perm()), 8), access.Text(short), ""}
	short.Default = true
	x.Default = def.Text(short)
	text := ""
	if !bare {
		text = fmt.Sprintf("# file: %s\n# owner: %s\n# group: %s\n", quote(p.Shown), quote(owner), quote(group))
		if a.Mode&(posix.SetUID|posix.SetGID|posix.Sticky) != 0 {
			text += "# flags: " + flags(a.Mode) + "\n"
		}
	}
	text += access.Text(acl.Style{Names: names}) + def.Text(acl.Style{Names: names, Default: true})
	return x, text, nil
}

// flags are "sst" with a dash for each that is not set.
func flags(m posix.Mode) string {
	b := []byte("sst")
	for i, bit := range []posix.Mode{posix.SetUID, posix.SetGID, posix.Sticky} {
		if m&bit == 0 {
			b[i] = '-'
		}
	}
	return string(b)
}
