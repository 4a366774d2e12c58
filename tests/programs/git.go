package programs

import (
	"path/filepath"
	"strings"

	"github.com/wardfs/wardfs/tests/harness"
)

// gitStory clones the repository that these tests are of.
func gitStory(s *shell) {
	source, err := harness.Source()
	s.ok(err)
	s.run("git", "clone", "-q", "file://"+source, "repo")
	s.gitSound("repo")
	head := strings.TrimSpace(s.run("git", "-C", "repo", "rev-parse", "HEAD")) // the source may have moved on
	s.equal("history", s.run("git", "-C", "repo", "rev-list", head), s.run("git", "-C", source, "rev-list", head))
	s.run("git", "clone", "-q", "repo", "linked") // by hard links
	s.gitSound("linked")
}

// gitLarge makes a repository of many files and works in it.
func gitLarge(s *shell) {
	s.run("cp", "-r", filepath.Join(goroot(s.T), "src", "encoding"), "big")
	s.run("cp", "-r", filepath.Join(goroot(s.T), "src", "net"), "big/net")
	s.sh(`cd big
		git init -q -b main .
		git add -A
		git commit -q -m first`)
	s.gitSound("big")
	s.sh(`cd big
		git checkout -q -b branch
		git mv json moved
		find . -name '*_test.go' -not -path './.git/*' | head -n 100 | while read f; do echo '// changed' >> "$f"; done
		git commit -q -a -m second
		git checkout -q main
		echo new > new.txt
		git add new.txt
		git commit -q -m third
		git merge -q -m merge branch
		git stash list
		git gc -q
		git reset -q --hard HEAD~1
		git reset -q --hard ORIG_HEAD
		test -f moved/decode.go -a -f new.txt`)
	s.gitSound("big")
	s.run("git", "clone", "-q", "--no-hardlinks", "big", "clone")
	s.gitSound("clone")
	s.equal("the same tree", s.run("git", "-C", "clone", "rev-parse", "HEAD^{tree}"), s.run("git", "-C", "big", "rev-parse", "HEAD^{tree}"))
	s.sh(`cd clone; git worktree add -q ../tree HEAD~1; cd ../tree; git bisect start -q 2>/dev/null || true; git status --porcelain`)
	s.run("git", "-C", "big", "fetch", "-q", "../clone", "main")
}

// gitSound asks git itself: every object whole, nothing changed in the tree.
func (s *shell) gitSound(repo string) {
	s.Helper()
	s.run("git", "-C", repo, "fsck", "--full", "--strict", "--no-progress")
	s.equal("git status", s.run("git", "-C", repo, "status", "--porcelain"), "")
	if n := strings.Count(s.run("git", "-C", repo, "ls-files"), "\n"); n < 10 {
		s.Errorf("%s has only %d files", repo, n)
	}
}
