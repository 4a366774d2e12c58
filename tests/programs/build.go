package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/wardfs/wardfs/tests/harness"
)

// goStory builds and runs a small module whose sources, cache and temporary
// files all lie here. The standard library it needs is compiled into that
// cache, hence it needs little of it.
func goStory(s *shell) {
	s.run("mkdir", "-p", "m/inner", "cache", "tmp", "path")
	s.write("m/go.mod", "module example.com/m\n\ngo 1.26\n")
	s.write("m/inner/inner.go", "package inner\n\nimport \"strings\"\n\nfunc Say(s string) string { return strings.ToUpper(s) }\n")
	s.write("m/main.go", "package main\n\nimport \"example.com/m/inner\"\n\nfunc main() { println(inner.Say(\"built here\")) }\n")
	s.env = append(s.env, "GOCACHE="+filepath.Join(s.dir, "cache"), "GOTMPDIR="+filepath.Join(s.dir, "tmp"), "GOPATH="+filepath.Join(s.dir, "path"),
		"GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GODEBUG=")
	build := func() int { // how many packages were compiled
		s.Helper()
		return strings.Count(s.sh("cd m; go build -v -o ../prog . 2>&1"), "\n")
	}
	if n := build(); n < 20 {
		s.Errorf("the first build compiled %d packages only", n)
	}
	s.equal("the program says", s.sh("./prog 2>&1"), "BUILT HERE\n")
	s.equal("packages compiled again", fmt.Sprint(build()), "0")
	s.write("m/inner/inner.go", "package inner\n\nfunc Say(s string) string { return \"changed\" }\n")
	s.equal("packages compiled after a change", fmt.Sprint(build()), "2")
	s.equal("the changed program says", s.sh("./prog 2>&1"), "changed\n")
	s.run("go", "clean", "-cache")
}

func ccStory(s *shell) {
	for _, c := range []string{"cc", "make"} {
		if _, err := exec.LookPath(c); err != nil {
			harness.Skip(s.T, c+" is not installed")
		}
	}
	for i := range 8 {
		s.write(fmt.Sprintf("f%d.c", i), fmt.Sprintf("int f%d(int x) { return x + %d; }\n", i, i))
	}
	s.write("main.c", "#include <stdio.h>\nint f0(int); int f7(int);\nint main(void) { printf(\"%d\\n\", f7(f0(35))); return 0; }\n")
	s.write("Makefile", "OBJS = main.o libf.a\nprog: $(OBJS)\n\tcc -o $@ $(OBJS)\nlibf.a: "+strings.TrimSpace(strings.ReplaceAll(lines(8, "f%d.o"), "\n", " "))+"\n\tar rcs $@ $^\n%.o: %.c\n\tcc -O1 -c -o $@ $<\n")
	s.run("make", "-j4")
	s.equal("the program says", s.run("./prog"), "42\n")
	if out := s.run("make"); !strings.Contains(out, "up to date") {
		s.Errorf("make builds again what is built: %s", out)
	}
	s.write("f7.c", "int f7(int x) { return -x; }\n")
	future := time.Now().Add(2 * time.Second) // whatever the clock's steps, this is newer
	s.ok(os.Chtimes(filepath.Join(s.dir, "f7.c"), future, future))
	out := s.run("make")
	s.equal("compiled again", fmt.Sprint(strings.Count(out, " -c ")), "1")
	s.equal("the changed program says", s.run("./prog"), "-35\n")
}
