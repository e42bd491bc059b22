#!/usr/bin/env bash
# Puts pgspot, which looks for unsafe SQL in the scripts of extensions, into a cache where it is missing, and prints its
# folder: what PYTHONPATH is set to for "python -S -m pgspot".
#
#   scripts/setup-pgspot.sh
#
# It stands apart from .venv, since it needs an older pglast than pgbgw does. PYTHON names the interpreter that will run
# it and whose pip fetches it, else it is that of .venv. The cache is PGBGW_CACHE, else the folder pgbgw of
# XDG_CACHE_HOME or ~/.cache; what is there is kept until its folder is removed.
set -euo pipefail

python=${PYTHON:-$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/python}
cache=${PGBGW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pgbgw}/pgspot
# One version, since another may find other things; it pins the pglast that goes with it.
version=0.9.4

if ! tag=$("$python" -c 'import sys; print(sys.implementation.cache_tag)' 2>/dev/null); then
	echo "There is no $python, whose pip fetches pgspot: type make venv first." >&2
	exit 1
fi
folder=$cache/$version-$tag

if [ ! -d "$folder" ]; then
	mkdir -p "$cache"
	exec {lock}>"$cache/.lock"
	flock "$lock"
	# Another run may have been faster.
	if [ ! -d "$folder" ]; then
		fresh=$cache/.$version-$tag.new
		trap 'rm -rf "$fresh"' EXIT
		rm -rf "$fresh"
		echo "fetching pgspot $version" >&2
		# Unpacked under another name first, so that an interrupted run is never taken for a whole one.
		# Its pglast is older than the one beside the interpreter, which it does not touch.
		if ! "$python" -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --no-compile \
			--only-binary pglast --target "$fresh" "pgspot==$version" >&2; then
			echo "pip could not fetch pgspot; its message stands above." >&2
			exit 1
		fi
		mv "$fresh" "$folder"
		trap - EXIT
	fi
	exec {lock}>&-
fi
echo "$folder"
