#!/usr/bin/env bash
# Installs what tests need and this machine lacks, and nothing else:
#   scripts/need.sh systemd-analyze strace chromium fonts-ja gcc
# As root, or through sudo where that asks no password; otherwise it says what
# to install. Tests that need a tool fail without it, they are never skipped.
set -euo pipefail

have() {
	case $1 in
	chromium) command -v chromium || command -v chromium-browser || command -v google-chrome || command -v headless_shell ;;
	fonts-ja) command -v fc-list && [ -n "$(fc-list :lang=ja family)" ] ;;
	*) command -v "$1" ;;
	esac >/dev/null 2>&1
}

package() { # Debian and Ubuntu
	case $1 in
	systemd-analyze) echo systemd ;;
	fonts-ja) echo fontconfig fonts-noto-cjk ;;
	gcc) echo gcc libc6-dev ;;
	nfc-list) echo libnfc-bin ;;
	qemu-system-x86_64) echo qemu-system-x86 ;;
	xz) echo xz-utils ;;
	*) echo "$1" ;;
	esac
}

missing=() packages=()
for tool in "$@"; do
	have "$tool" && continue
	missing+=("$tool")
	read -r -a names <<<"$(package "$tool")"
	packages+=("${names[@]}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

stop() {
	echo "need: ${missing[*]}: $1" >&2
	echo "need: install the Debian packages ${packages[*]} (or their like) and try again" >&2
	echo "need: 次のパッケージを入れてからやり直してください: ${packages[*]}" >&2
	exit 1
}

command -v apt-get >/dev/null || stop "there is no apt-get here"
as_root=()
if [ "$(id -u)" != 0 ]; then
	{ command -v sudo >/dev/null && sudo -n true 2>/dev/null; } || stop "neither root nor sudo without a password"
	as_root=(sudo -n)
fi
echo "need: installing ${packages[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt update && apt install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	stop "apt-get failed"
fi
for tool in "${missing[@]}"; do
	have "$tool" || stop "$tool is still missing after the installation"
done
