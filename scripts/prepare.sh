# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the scripts beside it: brings a machine that has Node and npm to where baton can be built and run.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() { printf '%s\n' "$*" >&2; }

require_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    say "baton needs Node.js 20.12 or newer and npm; install them and run this again."
    exit 1
  fi
  if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 12) ? 0 : 1)'; then
    say "baton needs Node.js 20.12 or newer; this is $(node --version)."
    exit 1
  fi
}

# Whether a command, or a shared library as in libbpf.so.1, is installed.
is_installed() {
  local PATH="$PATH:/usr/sbin:/sbin"
  case "$1" in
    *.so.*) ldconfig -p | grep -q "^[[:space:]]*$1 " ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# Arguments: COMMAND=PACKAGE or LIBRARY=PACKAGE pairs. What is missing is installed as root, otherwise listed.
require_commands() {
  local pair packages=()
  for pair in "$@"; do
    is_installed "${pair%%=*}" || packages+=("${pair#*=}")
  done
  [ ${#packages[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    say "These packages are missing (Debian's names): ${packages[*]}"
    say "Install them, for example: sudo apt-get install --no-install-recommends ${packages[*]}"
    exit 1
  fi
  say "Installing ${packages[*]} ..."
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
}

install_dependencies() {
  # node-gyp builds raw-socket; where Node came with its headers they are used, so that nothing is downloaded for it.
  local prefix
  prefix="$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")"
  if [ -z "${npm_config_nodedir:-}" ] && [ -f "$prefix/include/node/node.h" ]; then export npm_config_nodedir="$prefix"; fi
  if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    say "npm ci ..."
    npm ci --no-fund --no-audit --loglevel=error >&2
  fi
}

build() {
  npm run --silent build >&2
}
