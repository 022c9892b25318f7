"""An agent that gets in with plain HTTP: it knows one URL, its own name and its own key."""

import json, os, time, uuid
import httpx, jwt

NAME = os.environ["AGENT"]
KEY = jwt.PyJWK.from_json(open(os.environ["AGENT_KEY"]).read()).key
http = httpx.Client(verify=os.environ["CA"], http2=True, timeout=30)


def servers(refusal):
    """From a 401 to the authorization server: RFC 9728, then RFC 8414."""
    metadata = refusal.headers["www-authenticate"].split('resource_metadata="')[1].split('"')[0]
    issuer = http.get(metadata).json()["authorization_servers"][0]
    return http.get(f"{issuer}/.well-known/oauth-authorization-server").json()


def token(server, **more):
    """Client credentials with private_key_jwt (RFC 7523)."""
    now = int(time.time())
    claims = {"iss": NAME, "sub": NAME, "aud": server["issuer"], "jti": str(uuid.uuid4()), "iat": now, "exp": now + 60}
    answer = http.post(server["token_endpoint"], data={
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(claims, KEY, algorithm="ES256"),
        **more,
    })
    answer.raise_for_status()
    return {"authorization": "Bearer " + answer.json()["access_token"]}


def call(url, reason):
    """GETs `url`, asking for what is missing, and ends the task when it is done."""
    server = servers(http.get(url))
    identity = token(server)
    refusal = http.get(url, headers=identity)
    if refusal.status_code == 200:  # a baseline operation
        return refusal
    step = refusal.json()["next"]  # KeyError: nothing that this agent may ask for would help
    task = http.post(step["task_url"], headers=identity, json={"kind": "demo", "description": reason}).json()["id"]
    me = token(server, task=task)
    wanted = step["authorization_details"][0]["entitlement"]
    asked = http.post(step["request_url"], headers=me, json={"task": task, "entitlement": wanted, "reason": reason})
    print(f"{refusal.json()['code']} → {wanted}: {asked.json()['state']}")
    try:
        return http.get(url, headers=me)
    finally:
        receipt = http.post(f"{step['task_url']}/{task}/complete", headers=me).json()
        print("receipt", json.dumps(receipt))
        print("after the end:", http.get(url, headers=me).json()["code"])


if __name__ == "__main__":
    answer = call(os.environ["URL"], "try the gate")
    print(answer.status_code, answer.text[:200])
