#!/usr/bin/env bash
# Lets both sides of our OSDP talk to libosdp, which is not ours and is not here:
#
#   LIBOSDP_DIR=/path/to/libosdp/python make interop
#
#   LIBOSDP_DIR     the folder that holds libosdp's Python package: osdp/ and the
#                   built osdp_sys*.so
#   LIBOSDP_PYTHON  the Python it was built for (default: python3)
#   RUN             a regular expression: only these tests
#
# Without LIBOSDP_DIR it looks whether that Python can import osdp by itself; if
# not, it says so and ends well: nothing was tested, and nothing is wrong. A
# LIBOSDP_DIR that does not work is an error.
#
# libosdp を手に入れるには · how to come by it (Apache-2.0; 3.2.1 and the
# main branch of June 2026 were used):
#   1. Python の登録所から: pip install libosdp (仮想環境で。LIBOSDP_PYTHON にその python)
#      From the Python registry, into a virtual environment of yours.
#   2. ソースから · from source, goToMain/libosdp with its submodule utils
#      (goToMain/c-utils), somewhere outside this repository:
#          git checkout v3.2.1 && git submodule update --init
#          cd python && python3 setup.py build_ext --inplace
#      It needs gcc and Python 3.12 or later with its headers. If importing it
#      names an undefined symbol slab_free, add utils/src/slab.c to utils_sources
#      in setup.py and build again.
#
# What is tested (internal/interop), each end a process of its own, over ptys:
#   our simulated reader with libosdp's control panel, our access-control unit
#   with libosdp's peripheral device: clear, default key in commissioning, own key.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --help ]; then
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
	exit
fi

export LIBOSDP_PYTHON=${LIBOSDP_PYTHON:-python3}
finds() { PYTHONPATH=$1 PYTHONDONTWRITEBYTECODE=1 "$LIBOSDP_PYTHON" -c 'import osdp, osdp_sys; print(osdp_sys.__file__)'; }
if [ -n "${LIBOSDP_DIR:-}" ]; then
	LIBOSDP_DIR=$(realpath "$LIBOSDP_DIR")
	finds "$LIBOSDP_DIR" >/dev/null || {
		echo "interop: $LIBOSDP_DIR の osdp を $LIBOSDP_PYTHON で読み込めません。scripts/interop.sh --help を見てください。" >&2
		echo "interop: $LIBOSDP_PYTHON cannot import osdp from $LIBOSDP_DIR; see scripts/interop.sh --help" >&2
		exit 1
	}
elif where=$(finds "" 2>/dev/null); then
	LIBOSDP_DIR=$(dirname "$where")
else
	echo "interop: libosdp がないので、相互接続は試していません(失敗ではありません)。用意のしかたは scripts/interop.sh --help。"
	echo "interop: there is no libosdp here, so nothing was tested; scripts/interop.sh --help tells how to come by one"
	exit 0
fi
export LIBOSDP_DIR

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export SEKIMORI_SIM=$scratch/sekimori-sim
go build -trimpath -buildvcs=false -o "$SEKIMORI_SIM" ./firmware-sim/cmd/sekimori-sim
echo "interop: libosdp in $LIBOSDP_DIR"
go run ./internal/tools/testgate -label interop -each -- -count=1 -timeout 10m -tags interop -run "${RUN:-.}" ./internal/interop
