#!/usr/bin/env bash
# run-tests.sh JOBS [OPTION OF PYTEST...]: run the tests JOBS at a time; what fails is run once more by itself.
#
# Thousands of these tests kill servers, hold them up and wait for what becomes of it, more of them at a time than
# there are cores. Whoever waits half an hour for the answer wants to know whether something is broken, not that one
# test was held up for longer than it can bear. A test that passes only by itself is named at the end: it has a fault
# all the same, or has found one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

jobs=$1
shift
pytest=(.venv/bin/python -m pytest)
# Of more than this something is broken, and a second look would only take time.
most=50

# pytest's exit code is 1 if tests failed; the others say that not all were run (docs.pytest.org, "Exit codes").
code=0
"${pytest[@]}" --cache-clear -n "$jobs" --dist loadscope "$@" || code=$?
((code == 1)) || exit "$code"

failed=$(.venv/bin/python -c 'import json, sys; print(*json.load(sys.stdin), sep="\n")' \
	<.pytest_cache/v/cache/lastfailed)
count=$(wc -l <<<"$failed")
((count <= most)) || exit "$code"
printf '\n%s failed beside other tests. By themselves:\n' "$count"
"${pytest[@]}" --last-failed --last-failed-no-failures=none "$@"
printf '\nPassed only by themselves, and are to be mended:\n%s\n' "$failed"
