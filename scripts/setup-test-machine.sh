#!/usr/bin/env bash
# Installs from Debian's archive what the checks need, or only what a virtual environment needs, when it is missing.
#
#   scripts/setup-test-machine.sh [venv|test]
#
# PYTHON names the interpreter (python3.11 or later). With nothing missing, nothing is run and no right is needed.
# Otherwise apt-get runs as root, or through sudo where that asks for no password; else the command to type is printed
# and the exit code is 1.
set -euo pipefail

python=${PYTHON:-python3}
purpose=${1:-test}
missing=()

has() { command -v "$1" >/dev/null 2>&1; }

# need PACKAGE CHECK...: the package is missing when the check fails
need() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

has_header() {
	"$python" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

case $purpose in
venv | test) ;;
*)
	echo "usage: $0 [venv|test]" >&2
	exit 2
	;;
esac

# Debian splits Python: the part that makes virtual environments and the headers are packages of their own.
if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
	name=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	need "$name-venv" "$python" -c 'import ensurepip, venv'
	need "$name-dev" has_header
else
	missing+=(python3 python3-venv python3-dev)
fi
need gcc has gcc
need libc6-dev test -e /usr/include/stdint.h
need make has make

if [ "$purpose" = test ]; then
	need git has git
	need clang has clang
	need openssl has openssl
	need pg-bsd-indent has pg_bsd_indent
	need postgresql-15 test -x /usr/lib/postgresql/15/bin/postgres
	need postgresql-15-cron test -e /usr/share/postgresql/15/extension/pg_cron.control
	need postgresql-server-dev-15 test -e /usr/include/postgresql/15/server/postgres.h
fi

[ ${#missing[@]} -gt 0 ] || exit 0

give_up() {
	echo "missing on this machine: ${missing[*]}" >&2
	echo "$1" >&2
	exit 1
}

if ! has apt-get; then
	give_up "This is not Debian: install what corresponds to these packages."
elif [ "$(id -u)" -eq 0 ]; then
	as_root=(env)
elif has sudo && sudo -n true 2>/dev/null; then
	as_root=(sudo -n env)
else
	give_up "Install with: sudo apt-get update && sudo apt-get install ${missing[*]}"
fi

install_missing() {
	"${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 "${missing[@]}"
}

# The tests make clusters of their own, so the server package is told not to make and start one. The setting goes away
# with this script: a server that is installed later for another purpose gets its cluster.
no_cluster=/etc/postgresql-common/createcluster.d/pgbgw-tests.conf
if [ "$purpose" = test ] && [ ! -e "$no_cluster" ]; then
	trap '"${as_root[@]}" rm -f "$no_cluster"' EXIT
	"${as_root[@]}" mkdir -p "${no_cluster%/*}"
	echo 'create_main_cluster = false' | "${as_root[@]}" tee "$no_cluster" >/dev/null
fi

echo "installing: ${missing[*]}" >&2
# The lists of packages may be old, or may never have been fetched.
if ! install_missing; then
	"${as_root[@]}" apt-get update
	install_missing || give_up "apt-get could not install them; its message stands above."
fi
