#!/usr/bin/env bash
# install.sh EXTRA: creates /opt/venv with the packages of EXTRA in pyproject.toml, locked by requirements.lock.
# install.sh EXTRA WHEEL: installs the sluice wheel into it. Both delete files that the services do not need.
set -euo pipefail
if [ $# = 2 ]; then
    uv pip install --quiet --python /opt/venv --no-cache --no-deps "$2"
else
    python -m venv --without-pip /opt/venv
    uv pip install --quiet --python /opt/venv --no-cache --only-binary :all: --require-hashes \
        --requirements pyproject.toml --extra "$1" --constraints requirements.lock
fi
site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# botocore has descriptions of all AWS services; only S3 is used.
if [ -f "$site/botocore/data/endpoints.json" ]; then
    find "$site/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -r {} +
    gzip -9 "$site/botocore/data/endpoints.json"
fi
if [ -d "$site/boto3/data" ]; then
    find "$site/boto3/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -r {} +
fi
# Symbols for debuggers: a fifth of Polars, nine tenths of uvloop.
find "$site" -name '*.so' -exec strip --strip-unneeded {} +
# Sources of compiled modules, type stubs, protos, and tests.
find "$site" -type f \( -name '*.pyx' -o -name '*.px[di]' -o -name '*.pyi' -o -name '*.[ch]' -o -name '*.proto' \) -delete
find "$site" -type d \( -name tests -o -path '*/boto3/examples' \) -prune -exec rm -r {} +
# Only for installers and auditors; dist/sbom has the same information.
find "$site" -path '*.dist-info/RECORD' -delete
find "$site" -type d -path '*.dist-info/sboms' -prune -exec rm -r {} +

# The file system is read-only at runtime; compiling here saves half the CPU of every start. With Polars the image
# would become too large, so its sources are deleted. Not with -OO: Polars needs docstrings for its generated methods.
if [ "$1" = validation ]; then
    /opt/venv/bin/python -m compileall -q -b "$site"
    find "$site" -name '*.py' -delete
else
    /opt/venv/bin/python -m compileall -q "$site"
fi
