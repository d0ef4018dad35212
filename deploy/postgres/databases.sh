#!/usr/bin/env bash
# Runs once, on an empty data directory: creates separate roles and databases for Sluice and Druid, which cannot read
# each other's data.
set -euo pipefail
: "${SLUICE_DATABASE_PASSWORD:?is not set: password of the role sluice, as in DATABASE_URL (docker.env)}"
: "${DRUID_METADATA_PASSWORD:?is not set: password of the role druid (docker.env)}"
psql --set ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname postgres \
    --set sluice="$SLUICE_DATABASE_PASSWORD" --set druid="$DRUID_METADATA_PASSWORD" <<'SQL'
CREATE ROLE sluice LOGIN PASSWORD :'sluice';
CREATE ROLE druid LOGIN PASSWORD :'druid';
CREATE DATABASE sales_analytics OWNER sluice;
CREATE DATABASE druid OWNER druid ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT ON DATABASE sales_analytics, druid FROM PUBLIC;
SQL
