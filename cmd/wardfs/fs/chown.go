package fs

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/posix"
)

func newChown(e *Env) *cobra.Command {
	return e.ownerVerb("chown OWNER[:GROUP] PATH...", "change owner and group, as chown(1)", "OWNER[:GROUP] PATH...", func(t *Tree, text string) (posix.SetAttr, error) {
		owner, group, both := strings.Cut(text, ":")
		if owner == "" && group == "" || both && group == "" {
			return posix.SetAttr{}, &Usage{"chown: " + quote(text) + " names nobody", "write OWNER, OWNER:GROUP or :GROUP, names or numbers"}
		}
		var s posix.SetAttr
		var err error
		if owner != "" {
			s.Set |= posix.SetOwner
			if s.UID, err = t.userID(owner); err != nil {
				return s, err
			}
		}
		if group != "" {
			s.Set |= posix.SetGroup
			s.GID, err = t.groupID(group)
		}
		return s, err
	})
}

func newChgrp(e *Env) *cobra.Command {
	return e.ownerVerb("chgrp GROUP PATH...", "change the group, as chgrp(1)", "GROUP PATH...", func(t *Tree, text string) (posix.SetAttr, error) {
		g, err := t.groupID(text)
		return posix.SetAttr{Set: posix.SetGroup, GID: g}, err
	})
}

// ownerVerb is chown or chgrp. Names are read by the tree that they are for.
func (e *Env) ownerVerb(use, short, words string, read func(*Tree, string) (posix.SetAttr, error)) *cobra.Command {
	var deep, link bool
	c := &cobra.Command{
		Use: use, Short: short, Args: e.Args(words),
		RunE: func(c *cobra.Command, args []string) error {
			e.each(c.Context(), args[1:], func(p Place) error {
				set, err := read(p.Tree, args[0])
				if err != nil {
					return err
				}
				return e.chown(c.Context(), p, set, deep, !link && !deep)
			})
			return nil
		},
	}
	c.Flags().BoolVarP(&deep, "recursive", "R", false, "all below a directory too; symbolic links themselves")
	c.Flags().BoolVar(&link, "no-dereference", false, "a symbolic link itself; -h of the tool")
	return c
}

func (e *Env) chown(ctx context.Context, p Place, set posix.SetAttr, deep, follow bool) error {
	a, err := p.Find(ctx, follow)
	if err != nil {
		return err
	}
	return e.down(ctx, p, a, deep, false, func(p Place, a posix.Attr) error {
		_, err := p.Setattr(ctx, a.Ino, set)
		return err
	})
}

// userID is a number, or that of a name. A name wins, as for chown(1).
func (t *Tree) userID(text string) (posix.UID, error) {
	if t.Names.UserID != nil {
		if id, ok := t.Names.UserID(text); ok {
			return id, nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, &Usage{"no user named " + quote(text) + " on this host", "`getent passwd` lists its users; a number does too, as `wardfs fs ls -n` shows it"}
	}
	return posix.UID(n), nil
}

// groupID is userID for groups.
func (t *Tree) groupID(text string) (posix.GID, error) {
	if t.Names.GroupID != nil {
		if id, ok := t.Names.GroupID(text); ok {
			return id, nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, &Usage{"no group named " + quote(text) + " on this host", "`getent group` lists its groups; a number does too, as `wardfs fs ls -n` shows it"}
	}
	return posix.GID(n), nil
}
