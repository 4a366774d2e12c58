package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/wardfs/wardfs/client"
	"github.com/wardfs/wardfs/cmd/wardfs/control"
	"github.com/wardfs/wardfs/cmd/wardfs/fs"
	"github.com/wardfs/wardfs/cmd/wardfs/mountopt"
	"github.com/wardfs/wardfs/fuse"
	"github.com/wardfs/wardfs/posix"
	"github.com/wardfs/wardfs/server/export"
)

// A PATH is how a verb names a file or directory of a server:
//
//	MNT/PATH                     under a mount on this host
//	SERVER[,SERVER...]:/PATH     on a server, mounted or not
//	dev:DIR:/PATH                on the `wardfs dev` that runs over DIR
//
// What begins with a slash, "./" or "../" is always under a mount.

// reach is how PATHs are reached: the flags that say it, and the trees that
// were opened, each once.
type reach struct {
	e       *env
	purpose string // of the connection, for the server's people
	options []string
	flags   [6]string // of shorthands, in their order
	open    map[string]*tree
	alone   bool // it must speak as its own principal, also where a mount would state callers
}

// tree is a server that was reached, or why it was not.
type tree struct {
	fs.Tree
	client *client.Mount
	err    error
}

// shorthands are mount options that are flags too.
var shorthands = [...]struct{ option, value, doc string }{
	{"ca", "FILE", "authorities that the server's certificate must be of; default: those of this host"},
	{"cert", "FILE", "the certificate to show"},
	{"key", "FILE", "its key"},
	{"server_name", "NAME", "the name to expect in the server's certificate, instead of the host"},
	{"mechanism", "NAME", "how to prove who we are; default X509 with a certificate, else SIMPLE"},
	{"user", "NAME", "the name that SIMPLE states; default: who runs this"},
}

func newReach(e *env, purpose string) *reach {
	return &reach{e: e, purpose: purpose, open: map[string]*tree{}}
}

// register adds the flags.
func (r *reach) register(s *pflag.FlagSet) {
	for i, o := range shorthands {
		s.StringVar(&r.flags[i], strings.ReplaceAll(o.option, "_", "-"), "", o.doc+": `"+o.value+"`")
	}
	s.StringArrayVarP(&r.options, "options", "o", nil, "any mount options: `OPT,...`, as for mount")
}

// lists are the mount options that the flags say.
func (r *reach) lists() (lists []string) {
	if r.alone {
		lists = append(lists, "identity=mount")
	}
	for i, o := range shorthands {
		if v := r.flags[i]; v != "" {
			lists = append(lists, o.option+"="+strings.ReplaceAll(strings.ReplaceAll(v, `\`, `\\`), ",", `\,`))
		}
	}
	return append(lists, r.options...)
}

// place is what a PATH means; its tree is reached if it was not yet.
func (r *reach) place(ctx context.Context, path string) (fs.Place, error) {
	t, rest, err := r.reach(ctx, path)
	if err != nil {
		return fs.Place{}, err
	}
	return fs.Place{Tree: &t.Tree, Path: rest, Shown: path}, nil
}

// reach is the tree of a PATH, and where in it.
func (r *reach) reach(ctx context.Context, path string) (*tree, string, error) {
	where, rest, ok := cutRemote(path)
	find := r.bySpec
	if !ok {
		var err error
		if where, rest, err = underMount(path); err != nil {
			return nil, "", err
		}
		find = r.byMount
	}
	key := where
	if !ok {
		key = "mount " + where
	}
	t := r.tree(ctx, key, func() (mounting, error) { return find(ctx, where) })
	if ok && errors.Is(t.err, posix.EACCES) {
		return r.below(ctx, where, rest, t)
	}
	return t, rest, t.err
}

// below is reach for a server whose top is not for us: it may export a
// directory above the path, or that itself. It is tried from the top, so that
// paths of one export find one session. The error is that of the top.
func (r *reach) below(ctx context.Context, where, rest string, top *tree) (*tree, string, error) {
	names := export.Names(rest)
	for i := range names {
		dir := "/" + strings.Join(names[:i+1], "/")
		if export.CheckPath(dir) != nil {
			break // what ".." and "." mean is the server's to say
		}
		t := r.tree(ctx, where+":"+dir, func() (mounting, error) {
			m, err := r.bySpec(ctx, where)
			m.spec.Path = dir
			return m, err
		})
		if t.err == nil {
			return t, "/" + strings.Join(names[i+1:], "/"), nil
		}
		if !errors.Is(t.err, posix.EACCES) {
			break
		}
	}
	return top, rest, top.err
}

// tree is the tree of that key, reached as find says if it was not yet.
func (r *reach) tree(ctx context.Context, key string, find func() (mounting, error)) *tree {
	t := r.open[key]
	if t == nil {
		t = new(tree)
		var m mounting
		if m, t.err = find(); t.err == nil {
			t.err = t.connect(ctx, r, m)
		}
		r.open[key] = t
	}
	return t
}

// cutRemote cuts a PATH that names its server into SPEC and path.
func cutRemote(path string) (spec, rest string, ok bool) {
	for _, local := range []string{"/", "./", "../"} {
		if strings.HasPrefix(path+"/", local) {
			return "", "", false
		}
	}
	head := ""
	if dir, dev := strings.CutPrefix(path, "dev:"); dev {
		head, path = "dev:", dir
	}
	if i := strings.Index(path, ":/"); i >= 0 {
		return head + path[:i], path[i+1:], true
	}
	if server, ok := strings.CutSuffix(path, ":"); ok || head != "" {
		return head + server, "/", true
	}
	return "", "", false
}

// underMount cuts a PATH into the mount that it lies under and the rest. It
// asks nothing of the mount, which may be away, and leaves ".." and symbolic
// links below it to the server.
func underMount(path string) (mnt, rest string, err error) {
	abs := path
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return "", "", err
		}
		abs = dir + "/" + path
	}
	all, err := fuse.Mounts()
	if err != nil {
		return "", "", err
	}
	top := map[string]fuse.MountInfo{}
	for _, m := range all {
		top[m.On] = m
	}
	mnt, todo := "/", strings.Split(abs, "/")
	for links := 0; top[mnt].Type != fsType; {
		if len(todo) == 0 || links > 40 {
			return "", "", fail(exitNotMounted, "give a path under a mount, or SERVER:/PATH; `wardfs status` lists the mounts", "%s is not under a mount of wardfs", path)
		}
		name := todo[0]
		todo = todo[1:]
		next := filepath.Join(mnt, name) // name may be "", "." and ".."
		if _, mounted := top[next]; !mounted {
			if to, err := os.Readlink(next); err == nil {
				links++
				todo = append(strings.Split(to, "/"), todo...)
				if filepath.IsAbs(to) {
					mnt = "/"
				}
				continue
			}
		}
		mnt = next
	}
	rest = strings.Join(todo, "/")
	return mnt, "/" + rest, nil
}

// brief is the options of a verb: it does not wait for ever unless told to.
const brief = "soft,timeo=30s"

// bySpec is what SPEC and the flags say.
func (r *reach) bySpec(_ context.Context, spec string) (m mounting, err error) {
	if m.spec, err = mountopt.ParseSpec(spec); err != nil {
		return m, err
	}
	if m.options, err = mountopt.Parse(append([]string{brief}, r.lists()...)...); err == nil {
		err = absolute(m.options)
	}
	if err == nil && m.spec.Dev != "" {
		err = m.useDev()
	}
	return m, err
}

// connection is what a mount tells its own user of how it reaches its server:
// names of files, no secrets.
type connection struct {
	Spec    mountopt.Spec    `json:"spec"`
	Options mountopt.Options `json:"options"`
}

// byMount is what a mount on this host uses, the flags laid over. The mount of
// another user tells no more than the mount table does.
func (r *reach) byMount(ctx context.Context, mnt string) (m mounting, err error) {
	c, err := r.askMount(ctx, mnt)
	if err != nil {
		return m, err
	}
	if c == nil {
		at, _ := mountAt(mnt)
		if m, err = r.bySpec(ctx, at.Source); err != nil {
			return m, fail(exitCode(err), "name the server: SERVER:/PATH", "the mount on %s is another user's, and its source %q says no server: %w", mnt, at.Source, err)
		}
	} else {
		m.spec, m.options = c.Spec, &c.Options
		if err = m.options.Lay(append([]string{brief}, r.lists()...)...); err == nil {
			err = absolute(m.options)
		}
	}
	m.mnt = mnt
	return m, err
}

// askMount asks a mount of this user; nil if there is none that answers.
func (r *reach) askMount(ctx context.Context, mnt string) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, dir := range control.Dirs(os.Geteuid(), r.e.getenv) {
		var text bytes.Buffer
		switch err := control.Find(dir, "mount", mnt).Do(ctx, "GET", "/connection", &text); {
		case errors.Is(err, control.ErrNobody):
			continue
		case err != nil:
			return nil, err
		}
		c := new(connection)
		return c, json.Unmarshal(text.Bytes(), c)
	}
	return nil, nil
}

// connect opens a session as m says.
func (t *tree) connect(ctx context.Context, r *reach, m mounting) error {
	m.log = newLogger(r.e.stderr, "warn", "text")
	harden(m.log)
	mnt := m.mnt
	m.mnt = r.purpose
	up := &mount{mounting: m}
	static, err := readIdmap(m.options.Idmap)
	if err != nil {
		return err
	}
	cc, err := up.clientConfig(r.e)
	if err != nil {
		return err
	}
	if t.client, err = client.Connect(ctx, cc); err != nil {
		return err
	}
	up.client = t.client
	up.translate(static)
	t.Me = ownCred()
	t.Bare, t.Files, t.Names = up.as(t.Me), t.client.Files(), hostNames(ctx, t.client.Table())
	t.Namespace = t.Files.Over(t.Bare)
	t.Top, t.Mounted = "/", mnt // the session begins at m.spec.Path
	return nil
}

// close ends all sessions that were opened, and answers what could not be
// written.
func (r *reach) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	var errs []error
	for _, t := range r.open {
		if t.client != nil {
			errs = append(errs, t.client.Close(ctx))
		}
	}
	clear(r.open)
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// ownCred is this process as a caller: whom a session that states its callers
// states.
func ownCred() posix.Cred {
	c := posix.Cred{UID: posix.UID(os.Geteuid()), GID: posix.GID(os.Getegid()), Super: os.Geteuid() == 0}
	groups, _ := os.Getgroups() // none, at worst
	for _, g := range groups {
		c.Groups = append(c.Groups, posix.GID(g))
	}
	return c
}
