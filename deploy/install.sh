#!/bin/sh
# Puts wardfs on this machine, or takes it away again.
#
#	deploy/install.sh [PREFIX]                install bin/wardfs below PREFIX (default /usr/local)
#	deploy/install.sh --uninstall [PREFIX]    remove what that put there
#
# DESTDIR, for packages, is put before every path. Configuration, data and
# certificates are never touched.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
verb=install
if [ "${1:-}" = --uninstall ]; then verb=uninstall; shift; fi
prefix=${1:-/usr/local}
dest=${DESTDIR:-}
bin=$here/bin/wardfs
helpers="mount.wardfs mount.fuse.wardfs umount.wardfs umount.fuse.wardfs"

completions() {
	echo "bash $prefix/share/bash-completion/completions/wardfs"
	echo "zsh $prefix/share/zsh/site-functions/_wardfs"
	echo "fish $prefix/share/fish/vendor_completions.d/wardfs.fish"
}

case $verb in
install)
	[ -x "$bin" ] || { echo "install.sh: $bin is not there: make build" >&2; exit 1; }
	install -D -m 755 "$bin" "$dest$prefix/bin/wardfs"
	# mount(8) looks for helpers in /sbin and nowhere else.
	install -d "$dest/sbin"
	for h in $helpers; do ln -sf "$prefix/bin/wardfs" "$dest/sbin/$h"; done
	completions | while read -r shell file; do
		install -d "$(dirname "$dest$file")"
		"$bin" completion "$shell" >"$dest$file"
	done
	install -d "$dest$prefix/lib/systemd/system" "$dest$prefix/lib/sysusers.d" "$dest$prefix/share/doc/wardfs"
	sed "s|/usr/local/bin/wardfs|$prefix/bin/wardfs|" "$here/deploy/systemd/wardfs.service" >"$dest$prefix/lib/systemd/system/wardfs.service"
	install -m 644 "$here/deploy/systemd/wardfs-sysusers.conf" "$dest$prefix/lib/sysusers.d/wardfs.conf"
	install -m 644 "$here"/docs/*.md "$here"/README.md "$here"/CHANGELOG.md "$here"/deploy/example/server.yaml "$here"/deploy/example/fstab "$dest$prefix/share/doc/wardfs/"
	if [ -z "$dest" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
	;;
uninstall)
	rm -f "$dest$prefix/bin/wardfs" "$dest$prefix/lib/systemd/system/wardfs.service" "$dest$prefix/lib/sysusers.d/wardfs.conf"
	for h in $helpers; do rm -f "$dest/sbin/$h"; done
	completions | while read -r _ file; do rm -f "$dest$file"; done
	rm -rf "$dest$prefix/share/doc/wardfs"
	;;
esac
