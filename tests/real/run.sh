#!/usr/bin/env bash
# The gate in front of servers that are not ours (httpbin, Prometheus), used by clients that are not ours
# (curl, httpx, nghttp, h2load), with certificates from OpenSSL. Not a part of ./test: it installs packages.
#
#   tests/real/run.sh                 builds the release program, takes a minute or two
#   PORTCULLIS=target/debug/portcullis SIZE=104857600 tests/real/run.sh
#
# Needs openssl, curl and python3; Prometheus and nghttp2-client are installed from Debian if that is
# possible, and their part is left out if not. Nothing is left running; everything is in one directory.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
size=${SIZE:-1073741824}
work=$(mktemp -d)
started=()
failed=0

finish() {
  code=$?
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  [ "$code" -eq 0 ] && rm -rf "$work" || echo "what was left is in $work" >&2
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
start() { "$@" >"$work/log.${#started[@]}" 2>&1 & started+=($!); }
wait_for() { for _ in $(seq 150); do curl -sk -o /dev/null "$1" && return 0; sleep 0.1; done; echo "nothing answers at $1" >&2; return 1; }
check() { # WHAT GOT EXPECTED
  if [ "$2" = "$3" ]; then echo "ok   $1"; else echo "FAIL $1: $2, not $3"; failed=1; fi
}

step "packages"
if [ "$(id -u)" -eq 0 ] && has apt-get && ! { has prometheus && has nghttp; }; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends prometheus nghttp2-client openssl curl python3-venv >/dev/null
fi
venv=${VENV:-$work/venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" -q --disable-pip-version-check install httpbin gunicorn 'httpx[http2]' cryptography pyjwt
if [ -z "${PORTCULLIS:-}" ]; then
  (cd "$root" && cargo build --locked --release)
  PORTCULLIS=${CARGO_TARGET_DIR:-$root/target}/release/portcullis
fi
PORTCULLIS=$(realpath "$PORTCULLIS")
cd "$work"

step "servers"
gate_port=$(free_port) control_port=$(free_port) httpbin_port=$(free_port) prometheus_port=$(free_port) blobs_port=$(free_port)
start "$venv/bin/python" -m gunicorn -w 2 -b "127.0.0.1:$httpbin_port" httpbin:app
start python3 "$here/blobs.py" "$blobs_port"
if has prometheus; then
  printf 'global: {scrape_interval: 1s}\nscrape_configs: [{job_name: self, static_configs: [{targets: ["127.0.0.1:%s"]}]}]\n' \
    "$prometheus_port" >prometheus.yml
  start prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb --web.listen-address="127.0.0.1:$prometheus_port"
fi

step "certificates by $(openssl version | cut -d' ' -f1,2)"
quiet() { "$@" 2>>openssl.log; }
quiet openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem
quiet openssl req -newkey rsa:2048 -nodes -subj /CN=gate -keyout gate.key -out gate.csr
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >gate.ext
quiet openssl x509 -req -in gate.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile gate.ext -out gate.pem

step "the gate"
cp -r "$here/policies" policies
sed -i "s/@HTTPBIN@/$httpbin_port/; s/@PROMETHEUS@/$prometheus_port/; s/@BLOBS@/$blobs_port/" policies/services.toml
"$PORTCULLIS" agent enroll tester --group testers --key-file tester.jwk
cat >portcullis.toml <<END
[gateway]
public_url = "https://localhost:$gate_port"
[[gateway.listen]]
address = "127.0.0.1:$gate_port"
tls = { certificate = "gate.pem", key = "gate.key" }
[control]
listen = "127.0.0.1:$control_port"
public_url = "https://localhost:$control_port"
tls = { certificate = "gate.pem", key = "gate.key" }
END
"$PORTCULLIS" check --config portcullis.toml
start "$PORTCULLIS" serve --config portcullis.toml
gate_pid=${started[-1]}
export GATE=https://localhost:$gate_port HTTPBIN=http://127.0.0.1:$httpbin_port CA=$work/ca.pem SSL_CERT_FILE=$work/ca.pem
export PORTCULLIS_CONTROL=https://localhost:$control_port PORTCULLIS_CA=$work/ca.pem
export PORTCULLIS_AGENT_KEY=$work/tester.jwk PORTCULLIS_OPERATOR_KEY=$work/data/operator.key
wait_for "$PORTCULLIS_CONTROL/readyz"
wait_for "$HTTPBIN/get"
wait_for "http://127.0.0.1:$blobs_port/blobs/1"
has prometheus && wait_for "http://127.0.0.1:$prometheus_port/-/ready"

step "an agent with nothing but httpx and PyJWT (agent.py)"
AGENT=tester AGENT_KEY=tester.jwk URL=$GATE/httpbin/uuid "$venv/bin/python" "$here/agent.py" | tee agent.out
check "it got in and out" "$(grep -c -e '^200 ' -e 'after the end: task_ended' agent.out)" 2

step "httpx through the gate and directly (clients.py)"
TASK=$("$PORTCULLIS" task open --kind test --lease 10m)
TOKEN=$("$PORTCULLIS" token --task "$TASK")
export TOKEN
"$PORTCULLIS" request look --task "$TASK" >/dev/null
"$PORTCULLIS" request change --task "$TASK" --reason 'try writes' >/dev/null
"$venv/bin/python" "$here/clients.py" || failed=1

step "curl: $size bytes down and up"
expected=$(python3 "$here/blobs.py" sha256 "$size")
through() { curl -sS --cacert ca.pem -H "Authorization: Bearer $TOKEN" "$@"; }
timed() { # HTTP-VERSION QUERY
  local started ended
  started=$(date +%s%N)
  got=$(through "$1" "$GATE/blobs/$size$2" | sha256sum | cut -d' ' -f1)
  ended=$(date +%s%N)
  check "curl $1 $2 in $(((ended - started) / 1000000)) ms" "$got" "$expected"
}
timed --http1.1 ''
timed --http1.1 '?chunked'
timed --http2 ''
timed --http2 '?chunked'
got=$(curl -sS "http://127.0.0.1:$blobs_port/blobs/$size" | through --http1.1 -T - "$GATE/blobs/up")
check "curl --http1.1, chunked upload" "$got" "$expected $size"
got=$(curl -sS "http://127.0.0.1:$blobs_port/blobs/$size" | through --http2 -T - "$GATE/blobs/up")
check "curl --http2, upload" "$got" "$expected $size"
for version in --http1.1 --http2; do
  got=$(through "$version" --compressed "$GATE/httpbin/gzip" | grep -c '"gzipped": true')
  check "curl $version --compressed" "$got" 1
done

if has nghttp; then
  step "nghttp and h2load"
  got=$(nghttp -H "Authorization: Bearer $TOKEN" "$GATE/blobs/1048576" 2>nghttp.err | sha256sum | cut -d' ' -f1)
  check "nghttp, a MiB" "$got" "$(python3 "$here/blobs.py" sha256 1048576)"
  h2load -n 2000 -c 4 -m 8 -H "Authorization: Bearer $TOKEN" "$GATE/blobs/1000" >h2load.out
  grep -e '^finished' -e '^requests' -e '^status codes' h2load.out
  check "h2load: all answers are 2xx" "$(sed -n 's/^status codes: \([0-9]*\) 2xx.*/\1/p' h2load.out)" 2000
fi

step "the end of the task cuts what runs"
through --http1.1 --limit-rate 1M -o cut.bin -w '%{http_code} %{size_download} %{exitcode}\n' "$GATE/blobs/1073741824" \
  >cut.out 2>cut.err &
download=$!
sleep 1
"$PORTCULLIS" task complete "$TASK" | tee receipt.out
wait "$download" && check "the download" complete cut || check "the download is cut (curl: $(cut -d: -f2- cut.err))" cut cut
code=$(through "$GATE/httpbin/get" | python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])')
check "the very next call" "$code" task_ended

step "the stop and the audit log"
kill -TERM "$gate_pid"
wait "$gate_pid" && code=0 || code=$?
check "SIGTERM: exit 0" "$code" 0
"$PORTCULLIS" audit verify data/audit

[ "$failed" -eq 0 ] && echo && echo "everything arrived byte for byte"
exit "$failed"
