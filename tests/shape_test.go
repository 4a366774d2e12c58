package tests

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// Lengths in lines: from the first on a file or function is reported, beyond
// the second it fails.
const (
	longFile, tooLongFile = 500, 600
	longFunc, tooLongFunc = 60, 80
	tooLongTest           = 120 // much of a test is its table
)

// excuse is what a function's comment says when its length has a reason.
const excuse = "is long because"

// stateAllowed are package-level variables that change, each with its reason.
var stateAllowed = map[string]string{
	"cmd/wardfs.version": "set once by the linker",
}

// A file is one parsed source file of a package.
type file struct {
	name string // relative to the module
	ast  *ast.File
}

// parse reads the named files of p; generated ones are left out.
func parse(t *testing.T, fset *token.FileSet, p pkg, root string, names []string) []file {
	t.Helper()
	var files []file
	for _, n := range names {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, n), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if !ast.IsGenerated(f) {
			files = append(files, file{filepath.Join(p.rel(root), n), f})
		}
	}
	return files
}

// tooLong answers what is over the hard limits, and reports the rest to note.
func tooLong(fset *token.FileSet, f file, note func(format string, args ...any)) []string {
	var bad []string
	judge := func(what string, lines, long, tooLong int) {
		text := fmt.Sprintf("%s has %d lines; aim at less than %d, split at %d", what, lines, long, tooLong)
		switch {
		case lines > tooLong:
			bad = append(bad, text)
		case lines > long:
			note("%s", text)
		}
	}
	judge(f.name, fset.File(f.ast.FileStart).LineCount(), longFile, tooLongFile)
	most := tooLongFunc
	if strings.HasSuffix(f.name, "_test.go") {
		most = tooLongTest
	}
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && !strings.Contains(fn.Doc.Text(), excuse) {
			lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
			judge(f.name+": func "+fn.Name.Name, lines, longFunc, most)
		}
	}
	return bad
}

// packageState answers the init functions and the package-level variables that
// can change: those some code assigns to, takes the address of, or whose type
// is made to change. Sentinels and constant tables are left.
func packageState(p pkg, root string, fset *token.FileSet, files []file) []string {
	var bad []string
	for _, f := range files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
				bad = append(bad, f.name+": func init: what happens before main is nobody's")
			}
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, s := range gen.Specs {
				if typ, ok := changeable(s.(*ast.ValueSpec)); ok {
					bad = append(bad, fmt.Sprintf("%s: var %s is a %s: state belongs to a value", f.name, s.(*ast.ValueSpec).Names[0].Name, typ))
				}
			}
		}
	}
	isGlobal := resolve(fset, files)
	for _, f := range files {
		for _, name := range changed(f.ast, isGlobal) {
			if stateAllowed[p.rel(root)+"."+name] == "" {
				bad = append(bad, fmt.Sprintf("%s: changes the package variable %s: state belongs to a value", f.name, name))
			}
		}
	}
	return bad
}

// resolve answers which identifiers are variables of the package itself. The
// imports are not loaded: what they would tell is of no use here.
func resolve(fset *token.FileSet, files []file) func(*ast.Ident) bool {
	var trees []*ast.File
	for _, f := range files {
		trees = append(trees, f.ast)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Error: func(error) {}, Importer: nothing{}}
	checked, _ := conf.Check("p", fset, trees, &info)
	return func(id *ast.Ident) bool {
		v, ok := info.Uses[id].(*types.Var)
		return ok && v.Parent() == checked.Scope()
	}
}

// nothing is an importer that has no packages.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	return nil, errors.New("not loaded")
}

// changeable reports whether a variable is of a type that is of use only when
// it changes.
func changeable(s *ast.ValueSpec) (string, bool) {
	exprs := append([]ast.Expr{s.Type}, s.Values...)
	for _, e := range exprs {
		if u, ok := e.(*ast.UnaryExpr); ok {
			e = u.X
		}
		if c, ok := e.(*ast.CompositeLit); ok {
			e = c.Type
		}
		if x, ok := e.(*ast.IndexExpr); ok {
			e = x.X
		}
		if sel, ok := e.(*ast.SelectorExpr); ok {
			typ := fmt.Sprintf("%s.%s", sel.X, sel.Sel.Name)
			switch {
			case strings.HasPrefix(typ, "sync.Once"): // a constant, computed late
			case typ == "sync.Pool": // memory, nothing that anyone can see
			case strings.HasPrefix(typ, "sync."), strings.HasPrefix(typ, "atomic."), typ == "bytes.Buffer", typ == "strings.Builder":
				return typ, true
			}
		}
		if _, ok := e.(*ast.ChanType); ok {
			return "chan", true
		}
	}
	return "", false
}

// changed answers which variables of the package the file assigns to or takes
// the address of.
func changed(f *ast.File, isGlobal func(*ast.Ident) bool) []string {
	var names []string
	hit := func(e ast.Expr) {
		if id := root(e); id != nil && isGlobal(id) {
			names = append(names, id.Name)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					hit(e)
				}
			}
		case *ast.IncDecStmt:
			hit(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				hit(n.X)
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
				hit(n.Args[0])
			}
		}
		return true
	})
	return names
}

// root is the variable that an assignable expression is part of.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func TestShape(t *testing.T) {
	n := 0
	for _, p := range list(t, "./...") {
		fset := token.NewFileSet()
		product := parse(t, fset, p, module, p.GoFiles)
		all := append(product, parse(t, fset, p, module, append(p.TestGoFiles, p.XTestGoFiles...))...)
		for _, f := range all {
			n++
			for _, line := range tooLong(fset, f, t.Logf) {
				t.Error(line)
			}
		}
		for _, line := range packageState(p, module, fset, product) {
			t.Error(line)
		}
	}
	if n < 10 {
		t.Errorf("only %d files were looked at", n)
	}
}

func TestShapeSeesOffenders(t *testing.T) {
	const root = module + "/tests/testdata"
	pkgs := list(t, "./tests/testdata/shapeless")
	fset := token.NewFileSet()
	files := parse(t, fset, pkgs[0], root, pkgs[0].GoFiles)
	got := packageState(pkgs[0], root, fset, files)
	for _, f := range files {
		got = append(got, tooLong(fset, f, t.Logf)...)
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"func init:", "changes the package variable counter", "changes the package variable table",
		"changes the package variable pointed", "var lock is a sync.Mutex", "func long has 8",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not seen: %s", want)
		}
	}
	for _, innocent := range []string{"ErrNot", "constant", "shadowed"} {
		if strings.Contains(text, innocent) {
			t.Errorf("seen without guilt: %s", innocent)
		}
	}
	if t.Failed() {
		t.Logf("seen:\n%s", text)
	}
}
