# shellcheck shell=bash
# Shared by the scripts beside it. Source it first: it goes to the root of the tree.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Runs a command with its output kept back, and shows it only if the command fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    say "failed ($status): $*"
    cat "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

# Configures and builds targets of a preset: build PRESET TARGET... On a terminal one line shows how
# far it is.
build() {
  local preset=$1
  shift
  if [ ! -f "build/$preset/build.ninja" ]; then quietly cmake --preset "$preset" || return; fi
  if [ -t 2 ]; then
    cmake --build "build/$preset" --target "$@" >&2 </dev/null
  else
    quietly cmake --build "build/$preset" --target "$@" -- --quiet
  fi
}
