"""Calls httpbin and Prometheus through the gate and directly, over HTTP/1.1 and HTTP/2, and compares."""

import os
import sys

import httpx

GATE, HTTPBIN, CA, TOKEN = (os.environ[name] for name in ("GATE", "HTTPBIN", "CA", "TOKEN"))
AGENT = {"authorization": f"Bearer {TOKEN}"}
failed = 0


def check(what, holds, why=""):
    global failed
    failed += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {what}{'' if holds else f': {why}'}")


def raw(client, url, headers):
    """Status, encoding and body as they came, not decoded."""
    with client.stream("GET", url, headers={**headers, "accept-encoding": "gzip, deflate, br"}) as answer:
        return answer.status_code, answer.headers.get("content-encoding"), b"".join(answer.iter_raw())


def main(http2):
    direct = httpx.Client()
    through = httpx.Client(verify=CA, http2=http2, timeout=30)
    version = "HTTP/2" if http2 else "HTTP/1.1"

    for path in ["image/png", "image/jpeg", "html", "xml", "encoding/utf8", "range/70000", "bytes/100000?seed=7",
                 "stream-bytes/300000?seed=7&chunk_size=1000", "status/204", "status/418", "robots.txt"]:
        here = raw(direct, f"{HTTPBIN}/{path}", {})
        there = raw(through, f"{GATE}/httpbin/{path}", AGENT)
        check(f"{version} GET {path}: {len(there[2])} bytes alike", here == there, f"{here[:2]} {there[:2]}")

    # httpbin puts the request into these: compressed on the way, readable at the end.
    for path, encoding in [("gzip", "gzip"), ("deflate", "deflate")]:
        status, coding, body = raw(through, f"{GATE}/httpbin/{path}", AGENT)
        check(f"{version} GET {path}: {coding}, {len(body)} bytes", (status, coding) == (200, encoding))
        check(f"{version} GET {path} decodes", encoding in through.get(f"{GATE}/httpbin/{path}", headers=AGENT).text)

    seen = through.get(f"{GATE}/httpbin/headers", headers={
        **AGENT, "x-forwarded-for": "6.6.6.6", "portcullis-agent": "admin", "x_real_ip": "6.6.6.6", "dpop": "x",
        "x-kept": "yes"}).json()["headers"]
    check(f"{version} the token stays here", TOKEN not in str(seen), seen)
    check(f"{version} the agent is named by the gate", seen["Portcullis-Agent"] == "tester", seen)
    check(f"{version} spoofed addresses are gone", "6.6.6.6" not in str(seen) and "Dpop" not in seen, seen)
    check(f"{version} other headers arrive", seen.get("X-Kept") == "yes", seen)

    sent = os.urandom(300_000)
    upload = through.post(f"{GATE}/httpbin/post", headers=AGENT, files={"file": ("blob", sent)}).json()
    check(f"{version} POST of a form with a file", len(upload["files"]["file"]) > 300_000)
    text = through.post(f"{GATE}/httpbin/post?a=1&a=2&b=%2F+x", headers=AGENT, json={"ü": [1, 2.5, None]}).json()
    check(f"{version} POST of JSON", text["json"] == {"ü": [1, 2.5, None]} and text["args"] == {"a": ["1", "2"], "b": "/ x"}, text)
    check(f"{version} PUT", through.put(f"{GATE}/httpbin/put", headers=AGENT, content=b"abc").json()["data"] == "abc")
    check(f"{version} DELETE", through.delete(f"{GATE}/httpbin/delete", headers=AGENT).status_code == 200)
    redirect = through.get(f"{GATE}/httpbin/redirect-to?url=http%3A%2F%2F127.0.0.1%3A1%2F", headers=AGENT)
    check(f"{version} a redirect is passed on, not followed", redirect.status_code == 302, redirect.text)

    refused = through.get(f"{GATE}/httpbin/status/503", headers=AGENT)
    check(f"{version} a condition on an input", refused.json().get("rule") == "no-server-errors-on-purpose", refused.text)
    check(f"{version} PATCH is no operation", through.patch(f"{GATE}/httpbin/patch", headers=AGENT).status_code == 404)

    query = through.get(f"{GATE}/prometheus/api/v1/query", params={"query": "prometheus_build_info"}, headers=AGENT)
    check(f"{version} Prometheus answers a query", query.json()["status"] == "success", query.text)
    wide = through.get(f"{GATE}/prometheus/api/v1/query", params={"query": "rate(up[30d])"}, headers=AGENT)
    check(f"{version} a condition on a query", wide.json().get("rule") == "no-expensive-queries", wide.text)
    metrics = through.get(f"{GATE}/prometheus/metrics", headers=AGENT)
    check(f"{version} Prometheus's metrics, {metrics.headers.get('content-encoding')}", "go_goroutines" in metrics.text)
    reload = through.post(f"{GATE}/prometheus/-/reload", headers=AGENT)
    check(f"{version} its reload needs another grant", reload.json()["code"] == "grant_required", reload.text)


if __name__ == "__main__":
    main(http2=False)
    main(http2=True)
    sys.exit(failed > 0)
