#!/usr/bin/env bash
# The install script of the images in a bare Debian 12 (debootstrap), then a tiny training run on two ranks and the quickstart there. As root;
# it takes an hour and a half, most of it the two builds.  debian_test.sh ROOT [FOLDER]     FOLDER is made, and kept; without it a temporary one. Code 77: not possible here
#   debian_test.sh --lines ROOT     only holds both images to that script
set -euo pipefail
lines_only=0
if [ "$1" = --lines ]; then
  lines_only=1
  shift
fi
tree=$(cd "$1" && pwd)
# Both images run the script, and nothing else.
installs() { # FILE PATTERN: its install lines
  sed -n "$2" "$tree/launch/containers/$1" | sed 's#^RUN ##; s#^ *\(/opt/thinkrec/\)\?##'
}
for lines in "$(installs Dockerfile '/^RUN /p')" "$(installs thinkrec.def '/^%post/,/^%runscript/{/^%/d; /^$/d; p}')"; do
  [ "$lines" = launch/containers/install.sh ] || { echo "an image installs by other lines than launch/containers/install.sh: $lines"; exit 1; }
done
[ "$lines_only" -eq 0 ] || exit 0

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "chroot needs root"
if ! command -v debootstrap >/dev/null; then
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends debootstrap; } >/dev/null 2>&1 ||
    skip "debootstrap cannot be installed"
fi
if [ $# -gt 1 ]; then folder=$2; else folder=$(mktemp -d /var/tmp/thinkrec-debian.XXXXXX); fi
root=$folder/root
mkdir -p "$folder"
clean() {
  umount -l "$root/proc" "$root/dev" 2>/dev/null || true
  [ $# -gt 1 ] || rm -rf --one-file-system "$folder"
}
trap 'clean "$@"' EXIT
start=$SECONDS
mirror=$(grep -rhoE '^(URIs: |deb .*)https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | grep -oE 'https?://[^ ]+' | sed -n 1p || true)
debootstrap --variant=minbase bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$folder/debootstrap.log"
echo "debootstrap: $((SECONDS - start)) s, $(du -sm "$root" | cut -f1) MB"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
# How this machine reaches the network: names, pip's settings, certificates of a proxy.
for file in /etc/resolv.conf /etc/hosts; do [ ! -e "$file" ] || cp "$file" "$root/etc/"; done
settings=(PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8)
if [ -n "${PIP_CERT:-}" ]; then
  cp "$PIP_CERT" "$root/etc/proxy.crt"
  settings+=(PIP_CERT=/etc/proxy.crt)
fi
for name in http_proxy https_proxy no_proxy PIP_INDEX_URL PIP_DEFAULT_TIMEOUT CMAKE_BUILD_PARALLEL_LEVEL; do
  [ -z "${!name:-}" ] || settings+=("$name=${!name}")
done
# Tracked files and those about to be; no .deps, nothing built.
mkdir -p "$root/opt/thinkrec"
git -c "safe.directory=$tree" -C "$tree" ls-files -z --cached --others --exclude-standard | (cd "$tree" && xargs -0 ls -d 2>/dev/null) |
  tar -C "$tree" -cf - -T - | tar -C "$root/opt/thinkrec" -xf -
inside() { chroot "$root" /usr/bin/env -i "${settings[@]}" "$@"; }

start=$SECONDS
inside /opt/thinkrec/launch/containers/install.sh >"$folder/install.log" 2>&1 || { tail -20 "$folder/install.log"; exit 1; }
echo "install.sh: $((SECONDS - start)) s, $(du -sm --exclude=dev --exclude=proc "$root" | cut -f1) MB"
start=$SECONDS
inside python3 - <<'PYTHON'
import os, sys
sys.path.insert(0, "/opt/thinkrec/tests/app")
from tiny_world import World
os.makedirs("/opt/tiny")
world = World("/usr/local/bin", "/opt/thinkrec", "/opt/tiny")
world.train(world.recipe(), "/opt/tiny/run", ranks=2)
assert os.path.exists("/opt/tiny/run/report.html") and os.path.exists("/opt/tiny/run/evaluation.json")
PYTHON
echo "tiny run on two ranks: $((SECONDS - start)) s"
start=$SECONDS
inside /opt/thinkrec/launch/quickstart.sh >"$folder/quickstart.log" 2>&1 || { tail -20 "$folder/quickstart.log"; exit 1; }
[ -e "$root/opt/thinkrec/runs/quickstart/report.html" ] || { echo "the quickstart left no report"; exit 1; }
recommended=$(grep -A 6 '^user .*: served by ' "$folder/quickstart.log" || true)
[ "$(grep -cE '^ [123]\. .+ \[[0-9]+\]  score -?[0-9.]+$' <<<"$recommended")" -eq 3 ] && [ "$(grep -cE '^    [[:print:]]{20}' <<<"$recommended")" -eq 3 ] ||
  { echo "the quickstart did not end with three films and their reasons:"; echo "$recommended"; exit 1; }
echo "quickstart: $((SECONDS - start)) s; $(tail -1 "$folder/quickstart.log")"
