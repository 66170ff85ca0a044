#!/usr/bin/env bash
# Runs every native fuzz target below FUZZDIRS (default: everywhere) for FUZZTIME,
# then the broker's storm of FUZZPACKETS malformed packets, 0 for none. New
# failures are left in testdata/fuzz of the package: commit them with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZTIME:=30s}" "${FUZZPACKETS:=1000000}" "${FUZZDIRS:=*}"

ran=0
while IFS=: read -r file name; do
	package=./$(dirname "$file")
	echo "== $package $name ($FUZZTIME)"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" "$package"
	ran=$((ran + 1))
	# shellcheck disable=SC2086  # several folders in one variable
done < <(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' -- $FUZZDIRS | sed 's/:func /:/' | sort)

if [ "$FUZZPACKETS" -eq 0 ]; then
	echo "ok: $ran fuzz targets"
	exit 0
fi
echo "== broker storm ($FUZZPACKETS packets)"
SEKIMORI_FUZZ_PACKETS=$FUZZPACKETS go run ./internal/tools/testgate -label storm -each -count=1 -timeout 60m -run 'Storm|Hostile' ./hub/internal/broker/...
echo "ok: $ran fuzz targets and the storm"
