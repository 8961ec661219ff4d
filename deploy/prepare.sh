#!/bin/sh
# Makes, beside this file: secrets/ (passwords, the object store's keys and certificate) and state/ (what must be kept).
# Run it once, as root, before the first start. It overwrites nothing.
set -eu
if [ $# -gt 0 ]; then
    sed -n '2,3s/^# //p' "$0"
    echo "It takes no arguments. 创建 secrets/ 与 state/，不带参数，以 root 执行一次，不覆盖已有内容。"
    case "$1" in -h | --help) exit 0 ;; *) exit 2 ;; esac
fi
cd "$(dirname "$0")"
umask 077

own() { # folder, user id: only root can give a folder away; without root the containers' users must be yours
    mkdir -p "$1"
    if [ "$(id -u)" = 0 ]; then chown "$2:$2" "$1"; fi
}
own state 10001
own state/home 10001
own state/sources 10001
own state/work 10001
own state/database 999
own state/objects 10002

mkdir -p secrets
secret() { # name: 256 random bits, once
    [ -e "secrets/$1" ] || openssl rand -hex 32 >"secrets/$1"
}
for name in database.password postgres.password s3.access s3.secret; do secret "$name"; done

if [ ! -e secrets/objects.env ]; then
    # Without these SeaweedFS's own port would take anybody's word, past every lock of S3.
    for name in JWT_SIGNING_KEY JWT_SIGNING_READ_KEY JWT_FILER_SIGNING_KEY JWT_FILER_SIGNING_READ_KEY; do
        echo "WEED_$name=$(openssl rand -hex 16)"
    done >secrets/objects.env
fi

[ -e secrets/s3.json ] || cat >secrets/s3.json <<JSON
{"identities": [{"name": "sandbox",
  "credentials": [{"accessKey": "$(cat secrets/s3.access)", "secretKey": "$(cat secrets/s3.secret)"}],
  "actions": ["Admin:sandbox", "Read:sandbox", "Write:sandbox", "List:sandbox", "Tagging:sandbox"]}]}
JSON

if [ ! -e secrets/objects.pem ]; then
    # An authority for this machine alone; its key is not kept, so that nothing else can ever be signed by it.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=sandbox stores" \
        -keyout secrets/ca.key -out secrets/ca.pem 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=objects" \
        -keyout secrets/objects.key -out secrets/objects.csr 2>/dev/null
    printf 'subjectAltName=DNS:objects,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >secrets/objects.ext
    openssl x509 -req -in secrets/objects.csr -CA secrets/ca.pem -CAkey secrets/ca.key -days 3650 \
        -extfile secrets/objects.ext -out secrets/objects.pem 2>/dev/null
    cat secrets/objects.key >>secrets/objects.pem
    rm secrets/ca.key secrets/objects.key secrets/objects.csr secrets/objects.ext
fi

# The folder is closed to everybody but root; a container sees only the files that it is given, and its user reads them.
chmod 0444 secrets/*
[ -e secrets/front.pem ] || echo "Put certificate chain and key of your public name into deploy/secrets/front.pem (mode 0444)."
