#!/usr/bin/env bash
# make bench: measures the built programs on this machine, and prints what it
# found beside the disk's own sync in the same run. It never fails on the clock.
#
#   BENCHDIR   where its scratch folder is made (default: TMPDIR or /tmp); the
#              disk there is the one measured
#   BENCH      a regular expression: also runs these Go benchmarks of the packages
#              (BENCH=. for all of them), each for BENCHTIME
#   BENCHFLAGS further flags, e.g. -agents 20; bin/tools/bench -help lists them
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${BENCHDIR:-${TMPDIR:-/tmp}}
mkdir -p bin/tools "$dir"
go build -trimpath -buildvcs=false -o bin/tools/ ./internal/bench ./internal/bench/readers ./agent/internal/bench/loadgen
# shellcheck disable=SC2086  # several flags in one variable
bin/tools/bench -bin bin -tools bin/tools -dir "$dir" ${BENCHFLAGS:-}
bin/tools/readers -bin bin -dir "$dir"

[ -n "${BENCH:-}" ] || exit 0
mapfile -t packages < <(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -r -n1 dirname | sort -u)
go test -run '^$' -bench "$BENCH" -benchmem -benchtime "${BENCHTIME:-1s}" "${packages[@]}"
