#!/usr/bin/env bash
# Everything that is worth knowing about strop on one GPU, in one command and under nine minutes:
#
#     bash bench/gpu.sh [WHEELS] [--out FOLDER] [--only NAME] [--smoke]
#
# For a machine without a network: WHEELS is a folder with what the machine lacks (bench/README.md says how to fill it),
# and nothing is fetched. The interpreter's own torch is kept. What is measured, and what is written: bench/gpu.py.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$(command -v python3 || command -v python)}
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
    wheels=$1
    shift
    [ -d "$wheels" ] || { echo "gpu.sh: there is no folder $wheels; give the one with the wheels." >&2; exit 2; }
    export PIP_BREAK_SYSTEM_PACKAGES=1 # a distribution's own interpreter refuses otherwise
    # All at once; where that is refused each by itself: one that does not fit must not keep the others out.
    if ! "$PYTHON" -m pip install --quiet --no-index --no-deps "$wheels"/*.whl 2>/dev/null; then
        for wheel in "$wheels"/*.whl; do
            "$PYTHON" -m pip install --quiet --no-index --no-deps "$wheel" || echo "gpu.sh: $wheel was not installed" >&2
        done
    fi
fi
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
exec "$PYTHON" bench/gpu.py "$@"
