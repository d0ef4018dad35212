#!/usr/bin/env bash
# The container tests. If no Docker engine is running, the scripts in CONTAINER_TOOLS start and stop one, and build
# stand-ins for official images that cannot be pulled.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=${CONTAINER_TOOLS:-../shared/tools/containers}
images="python:3.11-slim node:24-slim postgres:15 zookeeper:3.9 apache/druid:33.0.0 chrislusf/seaweedfs:4.48"

# helm, for the chart tests: the installed one, or built once by go, concurrently with the other preparations.
helm=${HELM:-$(command -v helm || echo .local/tools/helm)}
if [ ! -x "$helm" ] && command -v go >/dev/null; then
    GOBIN="$PWD/.local/tools" go install helm.sh/helm/v3/cmd/helm@v3.18.6 >&2 &
    building=$!
fi

missing() { for image in $images; do docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null 2>&1 || printf '%s ' "$image"; done; }

if ! docker info >/dev/null 2>&1; then
    [ -x "$tools/start-docker.sh" ] || { echo "No Docker engine, and no $tools to start one: set CONTAINER_TOOLS or start Docker." >&2; exit 1; }
    "$tools/install-docker.sh" >&2
    trap '"$tools/stop-docker.sh" >/dev/null' EXIT
    "$tools/start-docker.sh" >&2
fi
if [ -x "$tools/make-standins.sh" ]; then
    # From a writable copy: read-only files would keep their mode in the images, where their owner must write them.
    copy=$(mktemp -d)
    cp -r "$tools/." "$copy"
    chmod -R u+w "$copy"
    # shellcheck disable=SC2086
    "$copy/make-standins.sh" $images >&2
    rm -r "$copy"
else
    absent=$(missing)
    [ -z "$absent" ] || { echo "These images cannot be pulled: $absent" >&2; exit 1; }
fi
[ -z "${building:-}" ] || wait "$building" || echo "helm could not be built: the chart tests are skipped" >&2
[ ! -x "$helm" ] || export HELM=$helm
.venv/bin/python -m pytest tests/compose -p no:cacheprovider --timeout 900 "$@"
