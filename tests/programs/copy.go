package programs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wardfs/wardfs/tests/harness"
)

// tarStory packs on the local disk, unpacks here, compares by tar and by
// ourselves, and packs here again.
func tarStory(s *shell) {
	src := s.source("encoding", "net")
	archive := filepath.Join(s.local, "a.tar")
	s.run("tar", "--acls", "--xattrs", "--xattrs-include=*", "-C", src, "-cf", archive, ".")
	s.run("mkdir", "out")
	s.run("tar", "--acls", "--xattrs", "--xattrs-include=*", "-C", "out", "-xpf", archive)
	s.run("tar", "-C", "out", "--compare", "-f", archive)
	s.same("unpacked", filepath.Join(s.dir, "out"), src, 0)
	s.run("tar", "-C", "out", "-czf", "back.tar.gz", ".")
	s.run("tar", "-C", src, "--compare", "-zf", filepath.Join(s.dir, "back.tar.gz"))
	// The comparison can fail.
	s.sh("cd out/planted/many/3; echo x >> 3")
	if err := s.command("tar", "-C", "out", "--compare", "-f", archive).Run(); err == nil {
		s.Error("tar --compare does not see a changed file")
	}
}

func rsyncStory(s *shell) {
	src := s.source("net", "go")
	args := []string{"-aHAX", "--checksum", "--itemize-changes"}
	if s.cred.UID == 0 {
		args = append(args, "--devices", "--specials")
	}
	sync := func() string {
		s.Helper()
		return s.run("rsync", append(args, "--delete", src+"/", "copy/")...)
	}
	if n := strings.Count(sync(), "\n"); n < 500 {
		s.Errorf("the first run moved only %d things", n)
	}
	s.equal("the second run moves", sync(), "")
	s.same("copied", filepath.Join(s.dir, "copy"), src, 0)
	changed := filepath.Join(src, "planted", "sizes", "131073")
	s.sh(`printf changed | dd of="$1" bs=1 seek=70000 conv=notrunc status=none; rm -r "$2"; mv "$3" "$3.moved"; touch -d 2001-02-04 "${2%/*}" "${3%/*}"`,
		changed, filepath.Join(src, "go", "ast"), filepath.Join(src, "net", "http"))
	sync()
	s.equal("the run after that moves", sync(), "")
	s.same("synchronised", filepath.Join(s.dir, "copy"), src, 0)
	s.run("rsync", "-a", "--inplace", "--append-verify", src+"/planted/sizes/", "inplace/")
	s.run("diff", "-r", filepath.Join(src, "planted", "sizes"), "inplace")
}

func cpStory(s *shell) {
	src := s.source("internal")
	s.run("cp", "-a", src, "copy")
	s.same("cp -a to here", filepath.Join(s.dir, "copy"), src, 0)
	s.run("cp", "-a", "copy", "again")
	s.same("cp -a within", filepath.Join(s.dir, "again"), src, 0)
	s.run("diff", "-r", "--no-dereference", "--exclude=fifo", "--exclude=dev", src, "again")
	for _, args := range [][]string{{}, {"-type", "f"}, {"-type", "d"}, {"-type", "l"}, {"-links", "+1", "-type", "f"}, {"-type", "f", "-size", "+10k"}, {"-empty"}, {"-perm", "600"}} {
		if here, there := s.count("again", args...), s.count(src, args...); here != there || here == 0 {
			s.Errorf("find %v: %d here, %d at the source", args, here, there)
		}
	}
	s.equal("du --apparent-size of files", s.du("copy"), s.du("again"))
	s.run("mv", "again", "moved")
	s.same("mv", filepath.Join(s.dir, "moved"), src, 0)
	s.run("cp", "--sparse=always", "copy/planted/sparse", "sparse")
	s.run("cmp", "copy/planted/sparse", "sparse")
	s.run("rm", "-r", "copy")
	if _, err := os.Lstat(filepath.Join(s.dir, "copy")); !os.IsNotExist(err) {
		s.Errorf("after rm -r: %v", err)
	}
}

func (s *shell) du(dir string) string {
	s.Helper()
	total := 0
	for _, n := range strings.Fields(s.run("find", dir, "-type", "f", "-printf", "%s\n")) {
		size, err := strconv.Atoi(n)
		s.ok(err)
		total += size
	}
	return fmt.Sprint(total)
}

// shellStory is what scripts do all day.
func shellStory(s *shell) {
	s.sh(`
		for i in 1 2 3; do echo line $i >> log; done
		test "$(cat log)" = "line 1
line 2
line 3"
		sort -r log > sorted; head -n 1 sorted | grep -q 'line 3'
		sed -i s/line/zeile/ log; grep -c zeile log | grep -qx 3
		mkdir -p a/b/c; touch a/b/c/file; ln -s b/c/file a/link; test -f a/link
		mv a z; test -f z/link; rm -rf z; test ! -e z
		install -m 750 log installed; test "$(stat -c %a installed)" = 750
		(umask 077; echo secret > private); test "$(stat -c %a private)" = 600
		mktemp -p . tmp.XXXXXX; mktemp -d -p . dir.XXXXXX
		truncate -s 1M hole; test "$(stat -c %s hole)" = 1048576
		dd if=/dev/urandom of=random bs=64k count=40 status=none; cp random copy; cmp random copy
		cat random random > double; test "$(stat -c %s double)" = 5242880
		split -b 100000 random part.; cat part.* | cmp - random
		gzip -k random; gunzip -c random.gz | cmp - random
		touch -d '2001-02-03 04:05:06.789' log; test "$(stat -c %Y log)" = 981173106
		ls -laR . > /dev/null; df . > /dev/null; du -s . > /dev/null
		mkfifo p; (echo piped > p) & test "$(cat p)" = piped
		exec 3> open; rm open; echo still >&3; exec 3>&-
		flock lock true
		getfattr -d log > /dev/null; setfattr -n user.k -v v log; getfattr -n user.k log | grep -q 'user.k="v"'
	`)
	s.ok(harness.Plant(filepath.Join(s.dir, "planted")))
	s.sh("chown -R $(id -u):$(id -g) home; test \"$(id -u)\" = \"$(stat -c %u log)\"")
}
