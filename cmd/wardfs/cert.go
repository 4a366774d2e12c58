package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/certs"
)

func newCert(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "cert", Short: "make and show certificates", Args: unknownVerb,
		Long: `cert makes an authority and certificates for those who have none, and shows what is in files of them. Keys are
PKCS#8 of mode 0600. Nothing is written over.

  wardfs cert ca /etc/wardfs/ca
  wardfs cert server files.example.com 10.1.2.3 --ca /etc/wardfs/ca
  wardfs cert client alice --ca /etc/wardfs/ca
  wardfs cert show /etc/wardfs/ca/files.example.com.pem

The server has tls: {cert: files.example.com.pem, key: files.example.com.key, ca: ca.pem}; a mount has
-o ca=ca.pem,cert=alice.pem,key=alice.key. The key of the authority, ca.key, belongs on neither.`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newCertCA(e), newCertServer(e), newCertClient(e), newCertShow(e))
	return c
}

// order is what the flags say of a certificate to make.
type order struct {
	key  string
	days int
}

func (o *order) register(f *pflag.FlagSet, life string) {
	f.StringVar(&o.key, "key-type", certs.KeyTypes[0], "the key's `TYPE`: "+strings.Join(certs.KeyTypes, ", "))
	f.IntVar(&o.days, "days", 0, "for how many `DAYS` it is good; default "+life)
}

func (o *order) order(name string, hosts []string) (certs.Order, error) {
	if o.days < 0 || o.days > 36500 {
		return certs.Order{}, usage("give 1 to 36500, or leave it out", "cert: --days %d makes no sense", o.days)
	}
	return certs.Order{Name: name, Hosts: hosts, Key: certs.KeyType(o.key), Life: time.Duration(o.days) * 24 * time.Hour}, nil
}

func newCertCA(e *env) *cobra.Command {
	var o order
	var name string
	c := &cobra.Command{
		Use: "ca DIR", Short: "make an authority", Args: takes(1, 1, "DIR"),
		Long: `ca makes an authority: DIR/ca.pem, which servers and mounts trust, and DIR/ca.key, with which it issues certificates: keep
it where few can read it. DIR is made if it is not there. Use one for each environment, so that what is issued for
one is good in no other.`,
		RunE: func(_ *cobra.Command, args []string) error {
			want, err := o.order(name, nil)
			if err != nil {
				return err
			}
			a, err := certs.Found(args[0], want, nil)
			if err != nil {
				return err
			}
			return printMade(e, certs.Pair{Cert: a.CA(), Key: strings.TrimSuffix(a.CA(), ".pem") + ".key"})
		},
	}
	o.register(c.Flags(), "ten years")
	c.Flags().StringVar(&name, "name", "", "what it is called, its common `NAME`; default after this host")
	return c
}

func newCertServer(e *env) *cobra.Command {
	var o order
	var dir, file string
	c := &cobra.Command{
		Use: "server NAME...", Short: "make a server's certificate", Args: atLeastOne("NAME"),
		Long: `server makes a certificate for a server that mounts call by these NAMEs: names of hosts, as *.example.com too, and
addresses. The files are CA/NAME.pem and CA/NAME.key after the first one, with _ for *.`,
		RunE: func(_ *cobra.Command, args []string) error {
			want, err := o.order(args[0], args)
			if err != nil {
				return err
			}
			if file == "" {
				file = strings.ReplaceAll(args[0], "*", "_")
			}
			return issue(e, dir, []string{file}, []certs.Order{want})
		},
	}
	o.register(c.Flags(), "397")
	c.Flags().StringVar(&dir, "ca", ".", "the folder `CA` of the authority")
	c.Flags().StringVar(&file, "file", "", "call the files `FILE`.pem and FILE.key")
	return c
}

func newCertClient(e *env) *cobra.Command {
	var o order
	var dir string
	c := &cobra.Command{
		Use: "client NAME...", Short: "make a certificate for each principal", Args: atLeastOne("NAME"),
		Long: `client makes a certificate for each NAME, who is its principal where mechanism X509 is accepted: CA/NAME.pem and
CA/NAME.key.`,
		RunE: func(_ *cobra.Command, args []string) error {
			var all []certs.Order
			for _, name := range args {
				want, err := o.order(name, nil)
				if err == nil {
					err = identity.CheckName(name)
				}
				if err != nil {
					return usage("write a user's name", "cert client: %q: %w", name, err)
				}
				all = append(all, want)
			}
			return issue(e, dir, args, all)
		},
	}
	o.register(c.Flags(), "397")
	c.Flags().StringVar(&dir, "ca", ".", "the folder `CA` of the authority")
	return c
}

// issue makes what is ordered, each into its files.
func issue(e *env, dir string, files []string, all []certs.Order) error {
	a, err := certs.Existing(dir, nil)
	if err != nil {
		return err
	}
	for i, o := range all {
		p, err := a.Issue(files[i], o)
		if err != nil {
			return err
		}
		if err := printMade(e, p); err != nil {
			return err
		}
	}
	return nil
}

func printMade(e *env, p certs.Pair) error {
	all, err := certs.Show(p.Cert, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s and %s: %s, good until %s\n", p.Cert, p.Key, all[0].Subject, all[0].NotAfter.Format(time.DateOnly))
	return nil
}

// atLeastOne is takes without a most.
func atLeastOne(name string) cobra.PositionalArgs { return takes(1, 1<<16, name) }

func newCertShow(e *env) *cobra.Command {
	var asJSON bool
	var password string
	c := &cobra.Command{
		Use: "show FILE", Short: "show the certificates of a file", Args: takes(1, 1, "FILE"),
		Long: `show lists every certificate of a PEM, JKS or PKCS#12 file: whose it is and who issued it, until when it is good, its
fingerprints for tls.pins and pin=. It shows no key.`,
		RunE: func(_ *cobra.Command, args []string) error {
			var pass []byte
			if get := secret(password, e.getenv, nil); get != nil {
				var err error
				if pass, err = get(); err != nil {
					return fail(exitConfig, "name a file that this user can read, or env:NAME", "--password-file: %w", err)
				}
			}
			all, err := certs.Show(args[0], pass)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(e, all)
			}
			for i, c := range all {
				if i > 0 {
					fmt.Fprintln(e.stdout)
				}
				printCert(e, c, time.Now())
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().StringVar(&password, "password-file", "", "`FILE` with the password of a keystore, or env:NAME")
	return c
}

func printCert(e *env, c certs.Shown, now time.Time) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(e.stdout, "%-8s  %s\n", what, oneLine(fmt.Sprintf(format, args...)))
	}
	if c.Alias != "" {
		line("alias", "%s", c.Alias)
	}
	line("subject", "%s", c.Subject)
	if len(c.Names) > 0 {
		line("names", "%s", strings.Join(c.Names, ", "))
	}
	switch {
	case c.Authority:
		line("for", "authority")
	case len(c.For) > 0:
		line("for", "%s", strings.Join(c.For, ", "))
	}
	line("issuer", "%s (%s)", c.Issuer, map[string]string{"self": "itself", "file": "in this file", "elsewhere": "not in this file"}[c.Chain])
	line("key", "%s", c.Key)
	line("serial", "%s", c.Serial)
	left := fmt.Sprintf("%d days left", int(c.NotAfter.Sub(now).Hours()/24))
	if now.After(c.NotAfter) {
		left = "EXPIRED"
	} else if now.Before(c.NotBefore) {
		left = "NOT VALID YET"
	}
	line("good", "%s to %s, %s", c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339), left)
	line("sha256", "%s", c.SHA256)
	line("sha1", "%s", c.SHA1)
}
