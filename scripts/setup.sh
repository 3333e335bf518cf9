#!/bin/sh
# Make the virtual environment $2 with Python $1: pinned packages, Lamina itself editable.
set -e
python=$1
venv=$2

fail() {
    echo "lamina: $1" >&2
    exit 2
}

command -v "$python" >/dev/null || fail "Python 3.11 to 3.13 is needed; install it or say make PYTHON=/path/to/python3."
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "Python 3.11 to 3.13 is needed, not $("$python" -V 2>&1); say make PYTHON=/path/to/python3."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "Python's venv module is missing; on Debian: apt-get install python3-venv."
for tool in g++ make perl; do
    command -v $tool >/dev/null || fail "$tool is missing, and Verilator needs it; on Debian: apt-get install $tool."
done

echo "Setting up $venv ..."
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable '.[synth,test]'
