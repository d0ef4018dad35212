#!/usr/bin/env bash
# install.sh EXTRA: a virtual environment at /opt/venv with what pyproject.toml names for EXTRA, in the versions of requirements.lock and checked by
# its hashes. install.sh EXTRA WHEEL: our own wheel on top of it. Both without what no service of ours reads.
set -euo pipefail
if [ $# = 2 ]; then
    uv pip install --quiet --python /opt/venv --no-cache --no-deps "$2"
else
    python -m venv --without-pip /opt/venv
    uv pip install --quiet --python /opt/venv --no-cache --only-binary :all: --require-hashes \
        --requirements pyproject.toml --extra "$1" --constraints requirements.lock
fi
site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# botocore describes every service of AWS; S3 is the one that is asked.
if [ -f "$site/botocore/data/endpoints.json" ]; then
    find "$site/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -r {} +
    gzip -9 "$site/botocore/data/endpoints.json"
fi
if [ -d "$site/boto3/data" ]; then
    find "$site/boto3/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -r {} +
fi
# Symbols for debuggers: a fifth of Polars, nine tenths of uvloop.
find "$site" -name '*.so' -exec strip --strip-unneeded {} +
# Sources that compiled modules were made of, types and contracts for programmers, and tests.
find "$site" -type f \( -name '*.pyx' -o -name '*.px[di]' -o -name '*.pyi' -o -name '*.[ch]' -o -name '*.proto' \) -delete
find "$site" -type d \( -name tests -o -path '*/boto3/examples' \) -prune -exec rm -r {} +
# What installers and auditors read: dist/sbom of a release has the same.
find "$site" -path '*.dist-info/RECORD' -delete
find "$site" -type d -path '*.dist-info/sboms' -prune -exec rm -r {} +

# Compiled, as the file system is read-only when they run: half the CPU of every start. Beside Polars that is too much, so there the sources go.
# Not with -OO: Polars finds the methods that it makes itself by their docstrings.
if [ "$1" = validation ]; then
    /opt/venv/bin/python -m compileall -q -b "$site"
    find "$site" -name '*.py' -delete
else
    /opt/venv/bin/python -m compileall -q "$site"
fi
