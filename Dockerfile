# One target per service: upload, validation, druid_gateway, status, gateway. Each has only its own packages, locked by hash.
#   docker build --target upload .
ARG PYTHON_IMAGE=python:3.11-slim
ARG NODE_IMAGE=node:24-slim

# ---- tools for installing: uv from the lock file, and strip. Not shipped.
FROM ${PYTHON_IMAGE} AS installer
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements.lock pyproject.toml README.md ./
RUN awk '/^uv==/ {on=1} on {print} on && !/\\$/ {exit}' requirements.lock > uv.txt \
    && pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --require-hashes -r uv.txt
COPY deploy/install.sh ./

# ---- the sluice wheel: generated stubs, client and version
FROM installer AS wheel
COPY client ./client
COPY protos ./protos
RUN awk '/^hatchling==/ {on=1} on {print} on && !/\\$/ {exit}' requirements.lock > backend.txt \
    && uv pip install --quiet --system --no-cache --require-hashes --requirements backend.txt --constraints requirements.lock \
    && uv build --quiet --wheel --no-build-isolation --out-dir /wheel

# ---- the packages of each service
FROM installer AS upload-packages
RUN ./install.sh upload
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel ./install.sh upload /wheel/*.whl

FROM installer AS validation-packages
RUN ./install.sh validation
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel ./install.sh validation /wheel/*.whl

FROM installer AS druid_gateway-packages
RUN ./install.sh druid-gateway
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel ./install.sh druid-gateway /wheel/*.whl

FROM installer AS status-packages
RUN ./install.sh status
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel ./install.sh status /wheel/*.whl

FROM installer AS gateway-packages
RUN ./install.sh gateway
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel ./install.sh gateway /wheel/*.whl

# ---- the page: the gateway image copies the build; docker-compose.dev.yml runs this stage
FROM ${NODE_IMAGE} AS page
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund --no-update-notifier && rm -rf /root/.npm
COPY frontend ./
COPY gateway/schema.graphql ../gateway/
COPY examples/sales.csv ../examples/
# Delete the folder that the build leaves behind: a tmpfs mounted there would inherit its owner and mode.
RUN npm run build && rm -r node_modules/.vite-temp
USER 1000:1000
EXPOSE 3000
CMD ["node_modules/.bin/vite", "--host", "0.0.0.0", "--port", "3000", "--strictPort"]

# ---- base of all images
FROM ${PYTHON_IMAGE} AS runtime
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sluice \
    && install --directory --owner sluice --group sluice /spool
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM

FROM runtime AS upload
COPY --from=upload-packages /opt/venv /opt/venv
COPY deploy/__init__.py deploy/probe.py deploy/bucket.py ./deploy/
COPY services/__init__.py ./services/
COPY services/common ./services/common
COPY services/upload ./services/upload
ENV BIND_ADDR=0.0.0.0:50051 METRICS_ADDR=0.0.0.0:9464
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=10s --start-period=300s --start-interval=2s --retries=6 CMD ["python", "-m", "deploy.probe"]
CMD ["python", "-m", "services.upload"]

FROM runtime AS validation
COPY --from=validation-packages /opt/venv /opt/venv
COPY deploy/__init__.py deploy/probe.py ./deploy/
COPY services/__init__.py ./services/
COPY services/common ./services/common
COPY services/validation ./services/validation
ENV BIND_ADDR=0.0.0.0:50052 METRICS_ADDR=0.0.0.0:9464 SPOOL_DIR=/spool
EXPOSE 50052 9464
HEALTHCHECK --interval=10s --timeout=10s --start-period=300s --start-interval=2s --retries=6 CMD ["python", "-m", "deploy.probe"]
CMD ["python", "-m", "services.validation"]

FROM runtime AS druid_gateway
COPY --from=druid_gateway-packages /opt/venv /opt/venv
COPY deploy/__init__.py deploy/probe.py ./deploy/
COPY services/__init__.py ./services/
COPY services/common ./services/common
COPY services/druid_gateway ./services/druid_gateway
ENV BIND_ADDR=0.0.0.0:50053 METRICS_ADDR=0.0.0.0:9464
EXPOSE 50053 9464
HEALTHCHECK --interval=10s --timeout=10s --start-period=300s --start-interval=2s --retries=6 CMD ["python", "-m", "deploy.probe"]
CMD ["python", "-m", "services.druid_gateway"]

FROM runtime AS status
COPY --from=status-packages /opt/venv /opt/venv
COPY deploy/__init__.py deploy/probe.py ./deploy/
COPY services/__init__.py ./services/
COPY services/common ./services/common
COPY services/status ./services/status
ENV BIND_ADDR=0.0.0.0:50054 METRICS_ADDR=0.0.0.0:9464
EXPOSE 50054 9464
HEALTHCHECK --interval=10s --timeout=10s --start-period=300s --start-interval=2s --retries=6 CMD ["python", "-m", "deploy.probe"]
CMD ["python", "-m", "services.status"]

FROM runtime AS gateway
COPY --from=gateway-packages /opt/venv /opt/venv
COPY deploy/__init__.py deploy/probe.py ./deploy/
COPY services/__init__.py ./services/
COPY services/common ./services/common
COPY gateway ./gateway
COPY --from=page /build/frontend/dist ./frontend/dist
ENV BIND_ADDR=0.0.0.0:8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=10s --start-period=300s --start-interval=2s --retries=6 CMD ["python", "-m", "deploy.probe", "http"]
CMD ["python", "-m", "gateway"]
