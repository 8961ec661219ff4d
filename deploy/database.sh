#!/bin/sh
# Runs once, when PostgreSQL has made its cluster: a role that owns one database and nothing else.
set -eu
psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -v password="$(cat "$DATABASE_PASSWORD_FILE")" \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE sandbox LOGIN PASSWORD :'password';
CREATE DATABASE sandbox OWNER sandbox TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
REVOKE ALL ON DATABASE sandbox FROM PUBLIC;
SQL
