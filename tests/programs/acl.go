package programs

import (
	"path/filepath"
	"strings"
)

// aclStory works in a shared directory with a default ACL, here and on the
// local disk, and compares every mode, owner and ACL that came of it.
func aclStory(s *shell) {
	repo := filepath.Join(s.local, "repo")
	s.sh(`git init -q "$1"; cd "$1"; mkdir -p bin a/b; echo x > bin/run; chmod 755 bin/run; echo y > a/b/file; ln -s b/file a/link
		git add .; git commit -qm one`, repo)
	here, there := s.sh(aclScript, s.dir, repo), s.sh(aclScript, s.local, repo)
	if strings.Count(here, "default:user:4242") < 10 || strings.Count(here, "\nuser:4242") < 20 {
		s.Errorf("too little was inherited:\n%s", tail(here))
	}
	g, w := strings.Split(here, "\n\n"), strings.Split(there, "\n\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			s.Fatalf("here\n%s\non the disk\n%s", g[i], w[i])
		}
	}
	s.equal("how many paths", here, there)
}

// Its last words are of every path. The first directories are the example of
// github.com/juicedata/juicefs/issues/6941: the umask counts for nothing where
// there is a default ACL.
const aclScript = `
	cd "$1"; mkdir shared; umask 022
	chmod 2770 shared; setfacl -m default:user:4242:r-x shared; setfacl -m user:4242:r-x shared
	mkdir shared/foo; test "$(stat -c %a shared/foo)" = 2770
	setfacl -m u:4242:rwx,g:5005:r,d:u:4242:rwx,d:g:5005:rx shared
	cd shared
	git clone -q --no-hardlinks "$2" clone; git -C clone fsck --no-progress; test -z "$(git -C clone status --porcelain)"
	cp -r clone plain; cp -a clone archived; cp -r --no-preserve=mode clone bare
	(umask 077; mkdir new; echo x > new/file; mkfifo new/fifo; ln -s file new/link; mktemp -p new f.XXXXXX > /dev/null; install -m 640 new/file new/installed)
	rm new/f.*
	chmod 750 new/file; chmod g-w new; setfacl -m m::r new/fifo
	rsync -aAX clone/ synced/; rsync -aAX --chmod=F640 new/ changed/
	tar --acls --xattrs -cf ../t.tar clone new; mkdir out; tar --acls --xattrs -xpf ../t.tar -C out; tar -xf ../t.tar -C bare
	mv new/installed .; cp -a new ../outside; mkdir ../plain; mv new/file ../plain; cp --preserve=mode ../plain/file ../plain/again
	getfacl -R -p archived > ../saved; setfacl -R -b archived; setfacl -R -k plain; setfacl --restore=../saved
	setfacl -R -m u:4343:rX,d:u:4343:rX out; setfacl -x u:4242 installed; sed -i s/y/z/ plain/a/b/file
	cd ..; rm t.tar saved
	find shared outside plain ! -path '*/.git/*' | LC_ALL=C sort | while read -r f; do stat -c '%n %A %u:%g' "$f"; [ -L "$f" ] || getfacl -c -n "$f"; echo; done
`
