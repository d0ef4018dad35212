#!/usr/bin/env bash
# install.sh EXTRA: a virtual environment at /opt/venv with what pyproject.toml names for EXTRA, in the versions of requirements.lock and checked by
# its hashes; then without what no service of ours reads.
set -euo pipefail
python -m venv --without-pip /opt/venv
uv pip install --quiet --python /opt/venv/bin/python --no-cache --only-binary :all: --require-hashes \
    --requirements pyproject.toml --extra "$1" --constraints requirements.lock
site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# botocore describes every service of AWS; S3 is the one that is asked.
if [ -d "$site/botocore/data" ]; then
    find "$site/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -r {} +
fi
# Symbols for debuggers: a fifth of Polars, nine tenths of uvloop.
find "$site" -name '*.so' -exec strip --strip-unneeded {} +
# Sources that compiled modules were made of.
find "$site" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' \) -delete
