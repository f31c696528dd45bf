# shellcheck shell=bash
# Helpers that the other scripts source: words on the terminal, tools, versions. It starts nothing by itself.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# at_least HAVE WANT: true when version HAVE is WANT or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# The Rust target of this machine, as x86_64-unknown-linux-gnu.
host_triple() { rustc -vV | sed -n 's/^host: //p'; }

# Where scripts/release puts its binaries.
release_dir() { printf '%s/%s/release\n' "${CARGO_TARGET_DIR:-$root/target}" "$(host_triple)"; }

# await SECONDS WHAT COMMAND…: repeats the command until it succeeds; says what was waited for when it does not.
await() {
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || { say "waited in vain for $what"; return 1; }
    sleep 0.2
  done
}

# Whichever compose this machine has.
compose() {
  if docker compose version >/dev/null 2>&1; then
    docker compose --project-directory "$root" "$@"
  elif have docker-compose; then
    docker-compose --project-directory "$root" -f "$root/docker-compose.yml" "$@"
  else
    die "neither docker compose nor docker-compose is here"
  fi
}

# Makes both images where they are missing or old: from the Dockerfile where a registry answers, else without one.
# TENURE_IMAGES=local or =dockerfile decides it by hand.
make_images() {
  case ${TENURE_IMAGES:-auto} in
    local) "$root/scripts/local-images" ;;
    dockerfile) compose build ;;
    auto)
      if timeout 15 docker pull -q debian:bookworm-slim >/dev/null 2>&1; then
        compose build
      else
        "$root/scripts/setup"
        "$root/scripts/local-images"
      fi
      ;;
    *) die "TENURE_IMAGES is local, dockerfile or auto" ;;
  esac
}

# True once all six containers of the project report healthy.
all_healthy() {
  local ids states
  ids=$(compose ps -aq 2>/dev/null) && [ "$(wc -w <<<"$ids")" = 6 ] || return 1
  # shellcheck disable=SC2086 # one id a word
  states=$(docker inspect --format '{{.State.Health.Status}}' $ids) || return 1
  [ "$(sort -u <<<"$states")" = healthy ]
}

# api PORT PATH [CURL OPTION…]: a call to the node published on PORT, with the token of the environment.
api() {
  local port=$1 path=$2
  shift 2
  curl -sS --fail --max-time 10 -H "Authorization: Bearer $TENURE_TOKEN" -H 'Content-Type: application/json' "$@" \
    "http://127.0.0.1:$port$path"
}
