package oidc

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wardfs/wardfs/identity"
)

const (
	maxGroups   = 1024 // of one token, roles likewise
	maxLifetime = 400 * 24 * time.Hour
)

// judge holds claims, whose signature is good, to the configuration, but for
// what they are bound to. It asks nobody.
func (c Config) judge(raw map[string]any) (Claims, error) {
	if err := c.judgeOrigin(raw); err != nil {
		return Claims{}, err
	}
	return c.names(raw)
}

// judgeOrigin asks who gave the token, to whom and when.
func (c Config) judgeOrigin(raw map[string]any) error {
	if iss, _ := raw["iss"].(string); iss != c.Issuer {
		return fmt.Errorf("a token of issuer %q, and here those of %q are good", clip(iss), c.Issuer)
	}
	if err := c.judgeTimes(raw); err != nil {
		return err
	}
	if len(c.Audience) > 0 {
		aud, err := words(raw, "aud", false)
		if err != nil || !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(c.Audience, a) }) {
			return fmt.Errorf("a token for %s, and not for %s", clip(strings.Join(aud, ", ")), strings.Join(c.Audience, " or "))
		}
	}
	if tid, _ := raw["tid"].(string); c.Tenant != "" && tid != c.Tenant {
		return fmt.Errorf("a token of tenant %q, and not of %q", clip(tid), c.Tenant)
	}
	return nil
}

// judgeTimes looks at exp always, at iat always, at nbf when told to.
func (c Config) judgeTimes(raw map[string]any) error {
	now := c.Now()
	exp, err := when(raw, "exp")
	if err != nil {
		return err
	}
	if !now.Before(exp.Add(c.Skew)) {
		return fmt.Errorf("the token expired %v ago: get a new one", now.Sub(exp).Round(time.Second))
	}
	iat, err := when(raw, "iat")
	switch {
	case err != nil:
		return err
	case iat.After(now.Add(c.Skew)):
		return fmt.Errorf("the token is issued %v in the future: a clock is wrong, the issuer's or this server's", iat.Sub(now).Round(time.Second))
	case exp.Sub(iat) > maxLifetime:
		return errors.New("the token is good for longer than any should be")
	case c.MaxAge > 0 && now.Sub(iat) > c.MaxAge+c.Skew:
		return fmt.Errorf("the token was issued %v ago, and after %v none is taken: get a new one", now.Sub(iat).Round(time.Second), c.MaxAge)
	}
	if _, there := raw["nbf"]; c.NotBefore && there {
		nbf, err := when(raw, "nbf")
		if err != nil {
			return err
		}
		if nbf.After(now.Add(c.Skew)) {
			return fmt.Errorf("the token is not good yet, in %v it is", nbf.Sub(now).Round(time.Second))
		}
	}
	return nil
}

// names reads who the token is for.
func (c Config) names(raw map[string]any) (Claims, error) {
	exp, _ := when(raw, "exp")
	cl := Claims{Expires: exp.Add(c.Skew)}
	cl.User, _ = raw[c.User].(string)
	if err := identity.CheckName(cl.User); err != nil {
		return Claims{}, fmt.Errorf("the token's claim %s names no user: %w", c.User, err)
	}
	if slices.Contains(c.ReservedUsers, cl.User) {
		return Claims{}, fmt.Errorf("the token's claim %s names %s, who may not come by a token", c.User, cl.User)
	}
	var err error
	if c.Groups != "" {
		if cl.Groups, err = words(raw, c.Groups, true); err != nil {
			return Claims{}, err
		}
	}
	if c.Roles != "" {
		cl.Roles, err = words(raw, c.Roles, true)
	}
	return cl, err
}

// bound holds a token to what it is bound to (cnf, RFC 7800): a certificate,
// x5t#S256 of RFC 8705, or a key, jkt of RFC 9449, of which proof shows that the
// client has it. What else a cnf may say is not understood, and refused: a token
// that is bound is no bearer token.
func (v *Verifier) bound(raw map[string]any, token, proof string, ch identity.Channel) error {
	cnf, there := raw["cnf"]
	if !there && proof == "" {
		return nil
	}
	how, _ := cnf.(map[string]any)
	for method := range how {
		if method != "x5t#S256" && method != "jkt" {
			return fmt.Errorf("the token is bound in a way that can't be checked here (cnf: %q): only to a certificate, by x5t#S256, or a key, by jkt, it can", clip(method))
		}
	}
	if there && len(how) == 0 {
		return errors.New("the token is bound in a way that can't be checked here (cnf)")
	}
	if _, is := how["x5t#S256"]; is {
		want, _ := how["x5t#S256"].(string)
		if err := toCertificate(want, ch); err != nil {
			return err
		}
	}
	if _, is := how["jkt"]; is {
		want, _ := how["jkt"].(string)
		return v.possessed(want, token, proof, ch)
	}
	if proof != "" {
		return errors.New("the token is bound to no key, and a proof came with it: leave dpop_key= out")
	}
	return nil
}

func toCertificate(want string, ch identity.Channel) error {
	if len(ch.TLS.PeerCertificates) == 0 {
		return errors.New("the token is bound to a certificate, and this client shows none: give it by -o cert=,key=")
	}
	sum := sha256.Sum256(ch.TLS.PeerCertificates[0].Raw)
	if subtle.ConstantTimeCompare([]byte(b64(sum[:])), []byte(want)) != 1 {
		return errors.New("the token is bound to another certificate than this client shows")
	}
	return nil
}

// when reads a NumericDate, seconds since the epoch.
func when(raw map[string]any, claim string) (time.Time, error) {
	f, ok := raw[claim].(float64)
	if !ok || math.IsNaN(f) || f < 0 || f > 1<<40 {
		return time.Time{}, fmt.Errorf("the token does not say %s", claim)
	}
	whole, part := math.Modf(f)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

// words reads a claim that is a list of strings or one string; with split that
// one is a list too, separated by spaces or commas. What is not there is no
// word; what can't be printed is no name. Names that no owner can have are left
// for the table of names to leave out: directories are full of them.
func words(raw map[string]any, claim string, split bool) (all []string, err error) {
	switch x := raw[claim].(type) {
	case nil:
	case string:
		if all = []string{x}; split {
			all = strings.FieldsFunc(x, func(r rune) bool { return r == ' ' || r == ',' })
		}
	case []any:
		for _, e := range x {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("the token's claim %s is no list of names", claim)
			}
			all = append(all, s)
		}
	default:
		return nil, fmt.Errorf("the token's claim %s is no list of names", claim)
	}
	if len(all) > maxGroups {
		return nil, fmt.Errorf("the token's claim %s has more than %d names", claim, maxGroups)
	}
	if split {
		for _, s := range all {
			if len(s) > 255 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				return nil, fmt.Errorf("the token's claim %s has a name that can't be one: %q", claim, clip(s))
			}
		}
	}
	return all, nil
}

// member answers which groups a token gives.
func (c Config) member(cl Claims) identity.Membership {
	m := identity.Membership{Alone: c.Use == Only}
	add := func(g string) {
		if !slices.Contains(m.Groups, g) {
			m.Groups = append(m.Groups, g)
		}
	}
	if c.Use != Ignore {
		for _, g := range cl.Groups {
			if !slices.Contains(c.ReservedGroups, g) {
				add(g)
			}
		}
	}
	for _, r := range cl.Roles {
		for _, g := range c.RoleGroups[r] {
			add(g)
		}
	}
	return m
}

// clip bounds what of a token comes into a message.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
