package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/identity/oidc/login"
)

// tokenOfLogin is the value of token= that is no file.
const tokenOfLogin = "login"

// loginFlags are those of `wardfs login`.
type loginFlags struct {
	issuer, client, ca    string
	scopes                []string
	browser, open, access bool
	print                 bool
}

func newLogin(e *env) *cobra.Command {
	var f loginFlags
	c := &cobra.Command{
		Use: "login --issuer URL --client-id ID", Short: "get an OIDC token, and newer ones when it expires",
		Long: `login gets a token of an OpenID Connect issuer for mounts with
-o mechanism=OIDC,token=login. It shows an address and a code to type in there,
on any device; with --browser it waits for a browser on this machine instead.

What it got it keeps in the user's state folder (XDG_STATE_HOME), readable by
the user alone, and gets newer tokens in time for as long as the issuer gives
them. --print-token prints the token as kubectl's plugins do, for token_exec=.`,
		Args: takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return runLogin(c.Context(), e, f) },
	}
	c.Flags().StringVar(&f.issuer, "issuer", "", "the issuer's address")
	c.Flags().StringVar(&f.client, "client-id", "", "the public client that is registered there")
	c.Flags().StringSliceVar(&f.scopes, "scope", nil, "what to ask for; default openid,profile,offline_access")
	c.Flags().StringVar(&f.ca, "ca", "", "PEM file with the authorities of the issuer's certificate; default: those of this host")
	c.Flags().BoolVar(&f.browser, "browser", false, "log in by a browser on this machine, without a code")
	c.Flags().BoolVar(&f.open, "open", false, "start the browser (xdg-open), too")
	c.Flags().BoolVar(&f.access, "access-token", false, "show servers the access token, not the ID token")
	c.Flags().BoolVar(&f.print, "print-token", false, "print the token of a login that was done, as an ExecCredential")
	return c
}

func newLogout(e *env) *cobra.Command {
	var f loginFlags
	c := &cobra.Command{
		Use: "logout", Short: "forget a login, here and at the issuer",
		Args: takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return runLogout(c.Context(), e, f) },
	}
	c.Flags().StringVar(&f.issuer, "issuer", "", "at which issuer, if there are several logins")
	c.Flags().StringVar(&f.client, "client-id", "", "as which client")
	return c
}

// logins is the user's store.
func logins(e *env) (login.Store, error) {
	state := e.getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // the specification says to ignore it then
		home := e.getenv("HOME")
		if home == "" {
			return login.Store{}, fail(exitFailure, "set HOME or XDG_STATE_HOME", "there is no folder for logins")
		}
		state = filepath.Join(home, ".local", "state")
	}
	return login.Store{Dir: filepath.Join(state, "wardfs", "login"), Provider: provider}, nil
}

func provider(ctx context.Context, l login.Login) (*login.Provider, error) {
	client, err := httpsClient(l.CA)
	if err != nil {
		return nil, fail(exitUsage, "check --ca", "--ca: %w", err)
	}
	return login.Discover(ctx, login.Config{Issuer: l.Issuer, ClientID: l.ClientID, Scopes: l.Scopes, HTTP: client})
}

func runLogin(ctx context.Context, e *env, f loginFlags) error {
	store, err := logins(e)
	switch {
	case err != nil:
		return err
	case f.print:
		return printToken(ctx, e, store, f)
	case f.issuer == "" || f.client == "":
		return usage("write wardfs login --issuer URL --client-id ID", "login: --issuer and --client-id are needed")
	case f.open && !f.browser:
		return usage("add --browser", "login: --open is for --browser")
	}
	l := login.Login{Issuer: f.issuer, ClientID: f.client, Scopes: f.scopes, Access: f.access}
	if f.ca != "" {
		if l.CA, err = filepath.Abs(f.ca); err != nil {
			return err
		}
	}
	p, err := provider(ctx, l)
	if err != nil {
		return refusedLogin(err)
	}
	var t login.Tokens
	if f.browser {
		t, err = p.Browser(ctx, func(addr string) {
			fmt.Fprintf(e.stderr, "open this address in a browser on this machine:\n\n  %s\n\n", addr)
			if f.open {
				startBrowser(e, addr)
			}
		})
	} else {
		t, err = p.Device(ctx, func(c login.Code) {
			fmt.Fprintf(e.stderr, "open this address in a browser anywhere:\n\n  %s\n\nand type in the code\n\n  %s\n\n", c.URL, c.UserCode)
			if c.Complete != "" {
				fmt.Fprintf(e.stderr, "or open\n\n  %s\n\n", c.Complete)
			}
		})
	}
	if err != nil {
		return refusedLogin(err)
	}
	if err := store.Put(l, t); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "logged in at %s until %s", l.Issuer, t.Expires.Local().Format(time.RFC3339))
	if t.Refresh != "" {
		fmt.Fprint(e.stdout, ", and on from there")
	}
	fmt.Fprintln(e.stdout)
	return nil
}

func refusedLogin(err error) error {
	return fail(exitRefused, "`wardfs login --help` shows how it is used", "%w", err)
}

// startBrowser opens the address; that it can't is no failure, for it is shown.
func startBrowser(e *env, addr string) {
	cmd := exec.Command("xdg-open", addr)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(e.stderr, "wardfs: no browser could be started: %v\n", err)
		return
	}
	go cmd.Wait()
}

// printToken prints what token_exec= and kubectl understand.
func printToken(ctx context.Context, e *env, s login.Store, f loginFlags) error {
	l, err := s.Token(ctx, f.issuer, f.client)
	if err != nil {
		return refusedLogin(err)
	}
	type m = map[string]any
	return json.NewEncoder(e.stdout).Encode(m{
		"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
		"status": m{"token": l.Token, "expirationTimestamp": l.Expires.UTC().Format(time.RFC3339)},
	})
}

func runLogout(ctx context.Context, e *env, f loginFlags) error {
	store, err := logins(e)
	if err != nil {
		return err
	}
	l, err := store.Remove(f.issuer, f.client)
	if err != nil {
		return refusedLogin(err)
	}
	fmt.Fprintf(e.stdout, "logged out of %s\n", l.Issuer)
	if l.Refresh == "" {
		return nil
	}
	p, err := provider(ctx, l)
	if err == nil {
		err = p.Revoke(ctx, l.Refresh)
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "wardfs: the issuer was not told: %s\n", oneLine(err.Error()))
	}
	return nil
}

// loginSource is the token of who mounts, from its own logins.
func loginSource(e *env) (oidc.Source, error) {
	store, err := logins(e)
	if err != nil {
		return nil, err
	}
	if _, err := store.Find("", ""); err != nil && !errors.Is(err, identity.ErrCredential) && !errors.Is(err, os.ErrNotExist) {
		return nil, fail(exitUsage, "give token_exec=\"wardfs login --print-token --issuer URL\" instead", "mount option token=login: %w", err)
	}
	return func(ctx context.Context) (string, error) {
		l, err := store.Token(ctx, "", "")
		return l.Token, err
	}, nil
}
