#!/usr/bin/env bash
# Everything CI runs, each step to its end even when one before it failed, and a
# closing table. A step that fails fails the whole; so does a skipped test.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
export TALLY=bin/tally
rm -f "$TALLY"

steps=() failed=()
step() { # name command...
	local name=$1 start=$SECONDS result=ok
	shift
	echo "== $name"
	"$@" || { result=FAILED; failed+=("$name"); }
	steps+=("$(printf '%-10s %-6s %4ds' "$name" "$result" $((SECONDS - start)))")
}

# What the tests leave behind in the tree would be committed by somebody.
tree() { git status --porcelain 2>/dev/null || true; }
before=$(tree)
clean() { diff <(echo "$before") <(echo "$(tree)"); }

step need scripts/need.sh systemd-analyze strace chromium fonts-ja nfc-list
step lint make --no-print-directory lint
step build make --no-print-directory build build-all
step unit make --no-print-directory unit
# What comes over a wire is fuzzed a little every time; `make fuzz` does it well.
step fuzz env FUZZTIME=2s FUZZPACKETS=0 FUZZDIRS="drivers firmware-sim" scripts/fuzz.sh
step e2e make --no-print-directory e2e
step smoke make --no-print-directory smoke
step clean clean

echo "== summary"
printf '%s\n' "${steps[@]}"
[ ! -e "$TALLY" ] || go run ./internal/tools/testgate -sum "$TALLY"
if [ ${#failed[@]} -gt 0 ]; then
	echo "FAILED: ${failed[*]}"
	exit 1
fi
echo "ok: every step passed, nothing was skipped"
