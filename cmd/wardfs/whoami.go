package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/client/callers"
	"github.com/wardfs/wardfs/cmd/wardfs/control"
)

func newWhoami(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "whoami [MNT]", Short: "say as whom the mounts of this user act",
		Args: takes(0, 1, "MNT"),
		RunE: func(c *cobra.Command, args []string) error { return runWhoami(c.Context(), e, args, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// who is one mount's answer.
type who struct {
	Mountpoint string `json:"mountpoint"`
	Principal  string `json:"principal"`
	Mechanism  string `json:"mechanism"`
	Via        string `json:"via,omitempty"`
	Identity   string `json:"identity"`
	*person           // none of a mount that states its callers
	// Users are those who act as themselves there.
	Users []callers.Line `json:"users,omitempty"`
}

func runWhoami(ctx context.Context, e *env, args []string, asJSON bool) error {
	all, err := peers(e, args)
	if err != nil {
		return err
	}
	found := []who{}
	for _, p := range all {
		if p.Kind() != "mount" {
			continue
		}
		text, err := ask(ctx, p)
		if err != nil {
			return err
		}
		if text == nil {
			continue
		}
		var m mountStatus
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		w := who{Mountpoint: m.Mountpoint, Principal: m.Client.Session.Principal, Mechanism: m.Client.Session.Mechanism,
			Via: m.Client.Session.Via, Identity: m.Identity}
		if c := m.Client.Callers; c != nil {
			w.Users = c.Users
		}
		if m.Client.Session.Session == 0 {
			// It has no session of its own.
		} else if w.person, err = askPerson(ctx, p); err != nil { // the server is away; what is known is worth saying
			fmt.Fprintf(e.stderr, "wardfs: %s: its ids can't be asked for: %s\n", oneLine(m.Mountpoint), oneLine(err.Error()))
		}
		found = append(found, w)
	}
	switch {
	case len(found) == 0 && len(args) > 0:
		return nobody(args[0])
	case asJSON:
		return printJSON(e, found)
	case len(found) == 0:
		fmt.Fprintln(e.stdout, "this user has no mount of wardfs")
	}
	for _, w := range found {
		w.print(e.stdout)
	}
	return nil
}

// print writes one mount's answer.
func (w who) print(out io.Writer) {
	as := "for every local user"
	switch w.Identity {
	case "trusted":
		as = "and states each local user"
	case "caller", "impersonate":
		as = "for who mounted; each other local user as itself"
	}
	if w.Mechanism == "" {
		fmt.Fprintf(out, "%s: each local user as itself\n", oneLine(w.Mountpoint))
	} else {
		fmt.Fprintf(out, "%s: %s (%s), %s\n", oneLine(w.Mountpoint), oneLine(acting(w.Principal, w.Via)), w.Mechanism, as)
	}
	if w.person != nil {
		w.person.print(out)
	}
	for _, u := range w.Users {
		fmt.Fprintf(out, "  local user %d: %s\n", u.UID, oneLine(lineOf(u)))
	}
}

// print writes what id(1) would, with the filesystem's ids beside this host's
// numbers where they differ.
func (p *person) print(w io.Writer) {
	fmt.Fprintf(w, "  user %s\n", p.User)
	for i, g := range p.Groups {
		kind := "group"
		if i == 0 {
			kind = "primary group"
		}
		fmt.Fprintf(w, "  %s %s\n", kind, g)
	}
	if p.Superuser {
		fmt.Fprintln(w, "  permissions do not bind it")
	}
}

// String is "alice, 1000 here, id 0x70000000".
func (o owner) String() string {
	name := oneLine(o.Name)
	if name == "" {
		name = "without a name"
	}
	if o.Number == o.ID {
		return fmt.Sprintf("%s, %d", name, o.ID)
	}
	return fmt.Sprintf("%s, %d here, id %#x", name, o.Number, o.ID)
}

// askPerson asks a mount as whom it acts.
func askPerson(ctx context.Context, p control.Peer) (*person, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var text bytes.Buffer
	if err := p.Do(ctx, "GET", "/whoami", &text); err != nil {
		if errors.Is(err, control.ErrNobody) {
			return nil, nil
		}
		return nil, err
	}
	var who *person
	return who, json.Unmarshal(text.Bytes(), &who)
}
