# shellcheck shell=bash
# Fetching packages with the host's apt without installing them, and without root. Source it after common.sh.

apt_options=(-q -o APT::Sandbox::User= -o Acquire::Retries=3)

# Package lists of our own in a folder: the system's may be missing or stale, and only root may renew them.
use_private_lists() {
  mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial"
  apt_options+=(-o "Dir::State::Lists=$1/apt/lists" -o "Dir::Cache=$1/apt")
  apt-get "${apt_options[@]}" update >"$1/log" 2>&1 </dev/null
}

# Puts PACKAGE into FOLDER, or says why not. It may be the name of a function that prints the package's name, for what
# only the package lists know: apt_fetch FOLDER PACKAGE|FUNCTION
apt_fetch() {
  local folder=$1 name=$2
  if ! apt_fetch_once "$folder" "$name"; then
    if ! { use_private_lists "$folder" && apt_fetch_once "$folder" "$name"; }; then
      cat "$folder/log" >&2
      die "cannot fetch the package from the configured Debian mirrors: $name"
    fi
  fi
}
apt_fetch_once() {
  local folder=$1 package=$2
  if declare -F "$package" >/dev/null; then package=$("$package"); fi
  [ -n "$package" ] && (cd "$folder" && apt-get "${apt_options[@]}" download "$package") >"$folder/log" 2>&1 </dev/null
}
