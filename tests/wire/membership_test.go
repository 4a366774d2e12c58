package wire

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/identity"
	"github.com/wardfs/wardfs/identity/groups"
	"github.com/wardfs/wardfs/identity/idmap"
	"github.com/wardfs/wardfs/identity/oidc"
	"github.com/wardfs/wardfs/server/export"
)

// claim writes a token of user with more claims.
func (i *issuer) claim(user string, life time.Duration, more map[string]any) {
	i.t.Helper()
	now := time.Now()
	claims := map[string]any{"iss": "i", "sub": user, "iat": now.Unix() - 1, "exp": float64(now.Add(life).UnixMilli()) / 1000}
	for k, v := range more {
		claims[k] = v
	}
	token, err := jwt.Signed(i.sign).Claims(claims).Serialize()
	must(i.t, err)
	must(i.t, os.WriteFile(i.path()+".new", []byte(token), 0o600))
	must(i.t, os.Rename(i.path()+".new", i.path()))
}

// believe makes the house take the issuer's tokens for what use says. Alice
// alone has an account besides: she is of staff.
func (h *house) believe(i *issuer, use oidc.Use) {
	h.t.Helper()
	v, err := oidc.New(oidc.Config{
		Issuer: "i", JWKS: filepath.Join(i.dir, "keys"), Groups: "groups", Roles: "roles", Use: use,
		RoleGroups: map[string][]string{"fsadmin": {"wheel"}}, ReservedGroups: []string{"wheel"}, ReservedUsers: []string{"root"},
	})
	must(h.t, err)
	h.auth.Resolve, h.auth.Supergroup, h.auth.Verifiers = nil, "wheel", []identity.Verifier{v}
	h.auth.Groups, err = groups.ParseStatic(strings.NewReader("alice: staff\nsvc:\n"))
	must(h.t, err)
	h.rules = export.Rules{Exports: []export.Rule{{Path: "/", Who: []string{"*"}, Squash: export.SquashNone}}, Proxies: []export.Proxy{{Principal: "svc", Users: []string{"*"}}}}
	h.stop()
	h.start()
}

// groupsOf asks the server in which groups a mount acts.
func groupsOf(t *testing.T, m *client.Mount) (names []string, super bool) {
	t.Helper()
	c, _, err := m.Whoami(t.Context())
	must(t, err)
	ids := []uint32{uint32(c.GID)}
	for _, g := range c.Groups {
		ids = append(ids, uint32(g))
	}
	names, err = m.Table().Names(t.Context(), idmap.Group, ids)
	must(t, err)
	return names, c.Super
}

func TestTokenGroups(t *testing.T) {
	h := newHouse(t)
	i := h.tokens(t)
	claims := func(roles string, names ...any) map[string]any {
		return map[string]any{"groups": names, "roles": roles}
	}
	for name, c := range map[string]struct {
		use   oidc.Use
		user  string
		claim map[string]any
		want  []string
		super bool
	}{
		"ignored":               {oidc.Ignore, "alice", claims("", "eng", "wheel"), []string{"staff"}, false},
		"added":                 {oidc.Add, "alice", claims("", "eng", "staff", "a:b", "12"), []string{"staff", "eng"}, false},
		"wheel is not claimed":  {oidc.Add, "alice", claims("wheel", "wheel", "eng"), []string{"staff", "eng"}, false},
		"wheel by a role":       {oidc.Ignore, "alice", claims("fsadmin", "eng"), []string{"staff", "wheel"}, true},
		"only":                  {oidc.Only, "alice", claims("", "eng"), []string{"alice", "eng"}, false},
		"only, without account": {oidc.Only, "zoe", claims("", "eng", "ops"), []string{"zoe", "eng", "ops"}, false},
	} {
		h.believe(i, c.use)
		i.claim(c.user, time.Hour, c.claim)
		names, super := groupsOf(t, h.holder(i))
		if !slices.Equal(names, c.want) || super != c.super {
			t.Errorf("%s: %q, superuser %v; want %q, %v", name, names, super, c.want, c.super)
		}
	}
	for name, c := range map[string]struct {
		use  oidc.Use
		user string
		for_ string
		want string
	}{
		"no account":               {oidc.Add, "zoe", "", "no account"},
		"root by a token":          {oidc.Only, "root", "", "may not come by a token"},
		"groups go to nobody else": {oidc.Only, "svc", "zoe", "no account"},
	} {
		h.believe(i, c.use)
		i.claim(c.user, time.Hour, claims("fsadmin", "eng"))
		conf := h.config()
		conf.Trusted, conf.Prover, conf.Impersonate = false, oidc.Prover{Token: oidc.File(i.path())}, c.for_
		if m, err := client.Connect(t.Context(), conf); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			if m != nil {
				m.Close(t.Context())
			}
		}
	}
	i.claim("svc", time.Hour, claims("fsadmin", "eng"))
	conf := h.config()
	conf.Trusted, conf.Prover, conf.Impersonate = false, oidc.Prover{Token: oidc.File(i.path())}, "alice"
	m, err := client.Connect(t.Context(), conf)
	must(t, err)
	defer m.Close(t.Context())
	if names, super := groupsOf(t, m); !slices.Equal(names, []string{"staff"}) || super {
		t.Errorf("alice via svc: %q, superuser %v", names, super)
	}
}

// A token that is shown in a session's midst changes its groups, and what they
// let it do, without a new mount.
func TestTokenGroupsChange(t *testing.T) {
	h := newHouse(t)
	i := h.tokens(t)
	h.believe(i, oidc.Add)
	i.claim("alice", 6*time.Second, map[string]any{"groups": "eng ops"})
	m := h.holder(i)
	streams := m.Status().Session.Streams
	if names, _ := groupsOf(t, m); !slices.Equal(names, []string{"staff", "eng", "ops"}) {
		t.Fatalf("%q", names)
	}
	i.claim("alice", time.Hour, map[string]any{"groups": "ops", "roles": "fsadmin"})
	for {
		must(t, t.Context().Err())
		if names, super := groupsOf(t, m); slices.Equal(names, []string{"staff", "ops", "wheel"}) && super {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if n := m.Status().Session.Streams; n != streams {
		t.Errorf("the mount has come anew: %d streams", n)
	}
}
