#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME each, and says which failed.
set -eu
go=${GO:-go}
failed=
for pkg in $($go list ./...); do
	for target in $($go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
		echo "== $pkg $target"
		$go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "$pkg" ||
			failed="$failed $pkg.$target"
	done
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
