#!/bin/sh
# What `make run` runs: everything on this machine, in the foreground. MNT and
# DIR come in the environment; an empty DIR is the default of `wardfs dev`.
set -eu
if bin/wardfs status "$MNT" >/dev/null 2>&1; then
	echo "already running: $MNT"
	exit 0
fi
set -- dev --mount "$MNT"
[ -z "${DIR:-}" ] || set -- "$@" --dir "$DIR"
exec bin/wardfs "$@"
