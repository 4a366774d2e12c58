#!/bin/sh
# Installs what building, running or testing wardfs needs on Debian or Ubuntu,
# and nothing that is there already: on a machine that has it all, this needs
# neither the network nor root.
#
#	tests/setup.sh go|run|test    install what that target needs
#	tests/setup.sh which-go       print the go command to use
#
# Go comes from the machine if it is new enough, else from the Go module proxy
# as the module golang.org/toolchain, into the user's cache.
set -eu

go_version=1.26.8
go_minor=26
# Of golang.org/toolchain@v0.0.1-go$go_version.linux-ARCH.zip.
sha256_amd64=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7
sha256_arm64=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99

cache=${XDG_CACHE_HOME:-$HOME/.cache}/wardfs
cached_go=$cache/go$go_version/bin/go

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif has sudo; then sudo -E "$@"
	else die "root is needed to run: $*"
	fi
}

# packages installs those Debian packages.
packages() {
	[ $# -gt 0 ] || return 0
	has apt-get || die "please install the equivalents of: $*"
	say "installing $*"
	export DEBIAN_FRONTEND=noninteractive
	as_root apt-get -o DPkg::Lock::Timeout=300 update -q >&2 ||
		say "package lists could not be renewed, trying with the old ones"
	# The tests start servers of their own: none is to start by being installed.
	ours= status=0
	[ -e /usr/sbin/policy-rc.d ] || {
		as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d'
		ours=yes
	}
	as_root apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >&2 || status=$?
	[ -z "$ours" ] || as_root rm -f /usr/sbin/policy-rc.d
	return $status
}

# new_enough GO: is GO of the minor version that go.mod asks for, or later?
new_enough() {
	v=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
	case $v in
	go1.*) v=${v#go1.} v=${v%%[!0-9]*} ;;
	*) return 1 ;;
	esac
	[ -n "$v" ] && [ "$v" -ge $go_minor ]
}

which_go() {
	for g in go /usr/local/go/bin/go; do
		if g=$(command -v $g 2>/dev/null) && new_enough "$g"; then
			echo "$g"
			return
		fi
	done
	echo "$cached_go"
}

# proxies prints the module proxies to ask, one a line. Any go knows the usual
# one, also Debian's, which is too old to build wardfs.
proxies() {
	list=${GOPROXY:-}
	if [ -z "$list" ]; then
		has go || packages golang-go
		list=$(go env GOPROXY)
	fi
	echo "$list" | tr ',|' '\n\n' | grep -E '^https?://' || die "GOPROXY=$list names no module proxy"
}

install_go() {
	new_enough "$(which_go)" && return
	case $(uname -m) in
	x86_64) arch=amd64 want=$sha256_amd64 ;;
	aarch64) arch=arm64 want=$sha256_arm64 ;;
	*) die "Go $go_version or newer is needed: please install it" ;;
	esac
	missing=
	has curl || missing="curl ca-certificates"
	has unzip || missing="$missing unzip"
	packages $missing
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/fetch.XXXXXX")
	trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
	module=golang.org/toolchain@v0.0.1-go$go_version.linux-$arch
	say "fetching Go $go_version"
	for p in $(proxies); do
		curl -fsSL --retry 3 --max-time 600 -o "$work/go.zip" \
			"${p%/}/golang.org/toolchain/@v/${module#*@}.zip" && break
	done
	[ -s "$work/go.zip" ] || die "Go $go_version could not be fetched; install it and try again"
	echo "$want  $work/go.zip" | sha256sum -c --status ||
		die "what was fetched as Go $go_version is not what was expected; nothing was installed"
	unzip -q "$work/go.zip" -d "$work"
	chmod +x "$work/$module"/bin/* "$work/$module"/pkg/tool/*/*
	# The rename publishes the whole or nothing; a second setup that was as
	# quick has done the same.
	mv -T "$work/$module" "$cache/go$go_version" 2>/dev/null || [ -x "$cached_go" ]
}

# need COMMAND PACKAGE: the package is missing if the command is.
need() { has "$1" || missing="$missing $2"; }

fuse_device() {
	[ -e /dev/fuse ] || as_root modprobe fuse 2>/dev/null || true
	[ -e /dev/fuse ] || say "there is no /dev/fuse: nothing can be mounted here"
}

# compiler: the C library's own lookups of users need it, and the race detector.
compiler() {
	need gcc gcc
	[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
}

# slapd is for tests that start their own: Debian's must not be set up and run.
slapd() {
	[ ! -x /usr/sbin/slapd ] || return 0
	missing="$missing slapd"
	has debconf-set-selections || return 0
	echo "slapd slapd/no_configuration boolean true" | as_root debconf-set-selections
}

install_run() {
	missing=
	need fusermount3 fuse3
	compiler
	packages $missing
	fuse_device
}

install_test() {
	missing=
	need git git
	need rsync rsync
	need sqlite3 sqlite3
	need tar tar
	need setfattr attr
	need setfacl acl
	need diff diffutils
	need fio fio
	if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
		# Its own cluster is not wanted: nothing may start by itself.
		[ -e /etc/postgresql-common/createcluster.conf ] ||
			{ as_root mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null; }
		missing="$missing postgresql"
	fi
	need kinit krb5-user
	need kadmin.local krb5-admin-server
	need krb5kdc krb5-kdc
	need fusermount3 fuse3
	slapd
	compiler
	packages $missing
	fuse_device
}

case ${1:-} in
which-go) which_go ;;
go) install_go ;;
run) install_run; install_go ;;
test) install_test; install_go ;;
*) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
