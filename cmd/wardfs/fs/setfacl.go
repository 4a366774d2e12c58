package fs

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// setfaclFlags are those of setfacl(1) that we have.
type setfaclFlags struct {
	modify, remove, set              string
	removeAll, removeDefault         bool
	toDefault, deep, keepMask, union bool
}

func newSetfacl(e *Env) *cobra.Command {
	var f setfaclFlags
	c := &cobra.Command{
		Use: "setfacl (-m|-x|-b|-k|--set) PATH...", Short: "change ACLs, as setfacl(1)", Args: e.Args("PATH..."),
		Long: `setfacl changes ACLs. Entries are u:USER:rwX, g:GROUP:rx, m::rx, o::-, with commas between; d: before one, or -d,
means the default ACL. The mask is made to let through what entries grant, unless one is given or -n.`,
		RunE: func(c *cobra.Command, args []string) error {
			if f == (setfaclFlags{toDefault: f.toDefault, deep: f.deep, keepMask: f.keepMask, union: f.union}) {
				return &Usage{"setfacl: nothing to change", "give -m, -x, -b, -k or --set"}
			}
			e.each(c.Context(), args, func(p Place) error { return e.setfacl(c.Context(), p, f) })
			return nil
		},
	}
	s := c.Flags()
	s.StringVarP(&f.modify, "modify", "m", "", "set these `ENTRIES`")
	s.StringVarP(&f.remove, "remove", "x", "", "remove these `ENTRIES`, written without rights")
	s.StringVar(&f.set, "set", "", "replace the whole ACL by these `ENTRIES`")
	s.BoolVarP(&f.removeAll, "remove-all", "b", false, "remove all but owner, group and others")
	s.BoolVarP(&f.removeDefault, "remove-default", "k", false, "remove the default ACL")
	s.BoolVarP(&f.toDefault, "default", "d", false, "entries are of the default ACL")
	s.BoolVarP(&f.deep, "recursive", "R", false, "all below a directory too; default ACLs for directories only")
	s.BoolVarP(&f.keepMask, "no-mask", "n", false, "leave the mask as it is")
	s.BoolVar(&f.union, "mask", false, "make the mask anew even where one is given")
	return c
}

func (e *Env) setfacl(ctx context.Context, p Place, f setfaclFlags) error {
	changes, err := f.changes(p.Names)
	if err != nil {
		return &Usage{"setfacl: " + err.Error(), "as setfacl -m u:alice:rwX,d:g:users:rx PATH"}
	}
	a, err := p.Find(ctx, true)
	if err != nil {
		return err
	}
	return e.down(ctx, p, a, f.deep, false, func(p Place, a posix.Attr) error {
		if a.Mode.IsLink() {
			return nil
		}
		return p.Tree.setfacl(ctx, a, f, changes)
	})
}

// changes are what the flags say to edit, removals first as setfacl has them.
func (f setfaclFlags) changes(n acl.Names) (all []acl.Change, err error) {
	if f.remove != "" {
		if all, err = acl.ParseRemovals(f.remove, n); err != nil {
			return nil, err
		}
	}
	for _, text := range []string{f.set, f.modify} {
		if text == "" {
			continue
		}
		more, err := acl.ParseChanges(text, n)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	for i := range all {
		all[i].Default = all[i].Default || f.toDefault
	}
	return all, nil
}

// setfacl changes one inode's ACLs, and sets only what has changed.
func (t *Tree) setfacl(ctx context.Context, a posix.Attr, f setfaclFlags, changes []acl.Change) error {
	access, def, err := t.acls(ctx, a)
	if err != nil {
		return err
	}
	if !a.Mode.IsDir() {
		if all := slices.ContainsFunc(changes, func(c acl.Change) bool { return c.Default }); all && !f.deep {
			return posix.E("setfacl", posix.EACCES, errDefault)
		}
		changes = slices.DeleteFunc(slices.Clone(changes), func(c acl.Change) bool { return c.Default })
	}
	newAccess, newDef := access, def
	if f.removeAll || f.replaces(changes, false) {
		newAccess = base(access)
	}
	if f.removeAll || f.removeDefault || f.replaces(changes, true) {
		newDef = nil
	}
	rule := acl.MaskUnlessGiven
	switch {
	case f.union:
		rule = acl.MaskUnion
	case f.keepMask:
		rule = acl.MaskKeep
	}
	if newAccess, newDef, err = acl.Edit(a.Mode, newAccess, newDef, changes, rule); err != nil {
		return err
	}
	if !newAccess.Equal(access) {
		if err := t.Setxattr(ctx, a.Ino, acl.XattrAccess, acl.EncodeXattr(newAccess), 0); err != nil {
			return err
		}
	}
	switch {
	case newDef.Equal(def):
		return nil
	case newDef == nil:
		return t.Removexattr(ctx, a.Ino, acl.XattrDefault)
	}
	return t.Setxattr(ctx, a.Ino, acl.XattrDefault, acl.EncodeXattr(newDef), 0)
}

// replaces reports whether --set replaces the ACL of that kind.
func (f setfaclFlags) replaces(changes []acl.Change, def bool) bool {
	return f.set != "" && slices.ContainsFunc(changes, func(c acl.Change) bool { return c.Default == def && !c.Remove })
}

// base is the ACL without its named entries and its mask.
func base(l acl.ACL) (b acl.ACL) {
	for _, x := range l {
		if x.Tag == acl.UserObj || x.Tag == acl.GroupObj || x.Tag == acl.Other {
			b = append(b, x)
		}
	}
	return b
}
