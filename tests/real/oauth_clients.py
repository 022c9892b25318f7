"""Gets, uses and gives back tokens with OAuth clients that are not ours: requests-oauth2client and Authlib.

    tests/real/oauth_clients.py [PORTCULLIS]      the program; target/debug/portcullis unless named

Not a part of ./test: it installs packages, into a virtual environment of its own. It starts `portcullis dev`,
and `portcullis serve` with a trusted issuer, on free ports; nothing is left running, all files are in one
temporary directory.
"""

import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PACKAGES = ["requests-oauth2client==1.8.0", "Authlib", "requests", "cryptography"]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CIBA = "urn:openid:params:grant-type:ciba"
failed = 0


def check(what, holds, why=""):
    global failed
    failed += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {what}{'' if holds else f': {why}'}")


def refused(what, expected, call):
    """Checks that a library's call ends in the error that it has for `expected`."""
    try:
        answer = call()
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        text = f"{type(error).__name__} {error} {getattr(error, 'error', '')}"
        check(what, expected in text, text)
    else:
        check(what, False, answer)


class Program:
    """A gateway in a directory of its own."""

    def __init__(self, program, *arguments):
        self.process = subprocess.Popen(
            [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the gateway does not start: {self.process.stderr.read()}")
        return json.loads(line)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def dev(program, work):
    """Discovery, client credentials, DPoP, introspection and revocation against `portcullis dev`."""
    import jwskate
    import requests
    from requests_oauth2client import DPoPKey, OAuth2Client, PrivateKeyJwt

    gateway = Program(
        program, "dev", "--output", "json", "--port", "0", "--control-port", "0",
        "--data", work / "data", "--certs", work / "certs", "--policies", ROOT / "policies",
    )
    try:
        facts = gateway.line()
        session = trusting(requests.Session(), facts["ca"])
        key = jwskate.Jwk(json.loads(pathlib.Path(facts["agents"]["demo-bot"]).read_text()))
        gate, control = facts["gateway"], facts["control"]

        # From the bare refusal to the issuer.
        bare = session.get(f"{gate}/orders")
        check("a call without a token is a 401", bare.status_code == 401, bare.text)
        challenge = bare.headers["www-authenticate"]
        named = challenge.split('resource_metadata="')[1].split('"')[0]
        resource = session.get(named).json()
        issuer = resource["authorization_servers"][0]
        check("the refusal leads to the issuer", issuer == control, issuer)
        discovery = f"{issuer}/.well-known/oauth-authorization-server"

        auth = PrivateKeyJwt("demo-bot", key)
        client = OAuth2Client.from_discovery_endpoint(discovery, issuer=issuer, auth=auth, session=session)
        token = client.client_credentials()
        check("client credentials with private_key_jwt", token.token_type == "Bearer", token)
        claims = jwskate.SignedJwt(token.access_token)
        check("the key set verifies the token", claims.verify_signature(client.authorization_server_jwks, alg="ES256"))
        task = session.post(f"{control}/v1/tasks", auth=token).json()["id"]
        scoped = client.client_credentials(scope="orders-read", task=task)
        check("a scope is granted", scoped.scope == "orders-read", scoped)
        check("and it passes", session.get(f"{gate}/orders", auth=scoped).status_code == 200)
        narrowed = client.client_credentials(task=task, resource=resource["resource"])
        audience = jwskate.SignedJwt(narrowed.access_token).claims["aud"]
        check("resource narrows the audience", audience == resource["resource"], audience)

        # DPoP: the library keeps key and nonces.
        dpop = DPoPKey.generate(alg="ES256")
        bound = client.client_credentials(task=task, dpop=True, dpop_key=dpop)
        check("a DPoP token", bound.token_type == "DPoP", bound)
        answer = session.get(f"{gate}/orders?limit=1", auth=bound)
        check("passes with its proof", answer.status_code == 200, answer.text)
        answer = session.get(f"{control}/v1/tasks/{task}", auth=bound)
        check("is good at the control side too", answer.status_code == 200, answer.text)
        stolen = {"authorization": f"Bearer {bound.access_token}"}
        answer = session.get(f"{gate}/orders", headers=stolen)
        check("is refused as a bearer", answer.json()["code"] == "proof_required", answer.text)
        thief = DPoPKey.generate(alg="ES256")
        forged = {
            "authorization": f"DPoP {bound.access_token}",
            "dpop": str(thief.proof(htm="GET", htu=f"{gate}/orders", nonce=answer.headers["dpop-nonce"])),
        }
        answer = session.get(f"{gate}/orders", headers=forged)
        check("is refused with another key's proof", answer.json()["code"] == "proof_invalid", answer.text)
        for alg in ["EdDSA", "RS256", "PS256"]:
            other = DPoPKey.generate(alg=alg)
            token = client.client_credentials(task=task, dpop=True, dpop_key=other)
            answer = session.get(f"{gate}/orders", auth=token)
            check(f"proofs by {alg}", answer.status_code == 200, answer.text)

        told = client.introspect_token(bound)
        check("introspection tells that it is active", told["active"] is True, told)
        check("and what it is bound to", "jkt" in told["cnf"], told)
        check("revocation", client.revoke_access_token(bound) is True)
        told = client.introspect_token(bound)
        check("a revoked token is inactive", told["active"] is False, told)
        answer = session.get(f"{gate}/orders", auth=bound)
        check("and is refused", answer.json()["code"] == "token_invalid", answer.text)

        wrong = PrivateKeyJwt("demo-bot", jwskate.Jwk.generate(alg="ES256").with_kid_thumbprint())
        stranger = OAuth2Client.from_discovery_endpoint(discovery, issuer=issuer, auth=wrong, session=session)
        refused("a wrong key is no client", "InvalidClient", stranger.client_credentials)
        refused("an unknown scope is refused", "AccessDenied",
                lambda: client.client_credentials(scope="nothing", task=task))
        refused("a foreign resource is no target", "InvalidTarget",
                lambda: client.client_credentials(resource="https://elsewhere.example"))
    finally:
        gateway.stop()


def serve(program, work):
    """Token exchange, CIBA, client certificates and Authlib against `portcullis serve`."""
    import jwskate
    import requests
    from authlib.integrations.requests_client import OAuth2Session
    from authlib.oauth2.rfc7523 import PrivateKeyJWT
    from requests_oauth2client import DPoPKey, OAuth2Client, PrivateKeyJwt

    idp = jwskate.Jwk.generate(alg="ES256").with_kid_thumbprint()
    keys = jwskate.JwkSet(keys=[idp.public_jwk()])
    (work / "idp.json").write_text(json.dumps(keys.to_dict()))
    policies = work / "policies"
    policies.mkdir()
    subprocess.run(
        [program, "agent", "enroll", "bot", "--group", "bots", "--directory", policies, "--key-file", work / "bot.jwk"],
        check=True, stdout=subprocess.DEVNULL, cwd=ROOT,
    )
    # Authlib signs assertions with RSA keys only.
    rsa = jwskate.Jwk.generate(alg="RS256")
    public = ", ".join(f"{name} = {json.dumps(rsa.public_jwk()[name])}" for name in ["kty", "alg", "n", "e"])
    (policies / "all.toml").write_text(POLICIES + f"""
[[agent]]
id = "veteran"
groups = ["bots"]
keys = [{{ {public} }}]
""")
    (policies / "all.cedar").write_text(RULES)
    ports = free_ports(2)
    gate, control = (f"https://localhost:{port}" for port in ports)
    (work / "portcullis.toml").write_text(SETTINGS.format(gate=gate, control=control, ports=ports))
    client_certificate(work)
    gateway = Program(program, "serve", "--config", work / "portcullis.toml")
    try:
        session = trusting(requests.Session(), str(work / "certs/ca.pem"))
        discovery = f"{control}/.well-known/oauth-authorization-server"
        wait_for(session, discovery)
        auth = PrivateKeyJwt("bot", jwskate.Jwk(json.loads((work / "bot.jwk").read_text())))
        metadata = session.get(discovery).json()
        # The library leaves this one endpoint to its user.
        polled = {"backchannel_authentication_endpoint": metadata["backchannel_authentication_endpoint"]}
        client = OAuth2Client.from_discovery_endpoint(discovery, issuer=control, auth=auth, session=session, **polled)
        now = int(time.time())
        outside = {"iss": "https://idp.example", "sub": "bot", "aud": gate, "iat": now, "exp": now + 60, "jti": "1"}
        subject = str(jwskate.Jwt.sign(outside, idp))
        token = client.token_exchange(subject_token=subject, subject_token_type="access_token")
        check("token exchange", token.issued_token_type.endswith("access_token"), token)
        check("no longer than the outside token", token.expires_in <= 60, token.expires_in)
        task = session.post(f"{control}/v1/tasks", auth=token).json()["id"]
        dpop = DPoPKey.generate(alg="ES256")
        token = client.token_exchange(
            subject_token=subject, subject_token_type="access_token", scope="status", task=task, dpop=True, dpop_key=dpop)
        check("with a scope, bound to a key", (token.token_type, token.scope) == ("DPoP", "status"), token)
        foreign = str(jwskate.Jwt.sign({**outside, "sub": "rival"}, idp))
        refused("another agent's token is not exchanged", "InvalidRequest",
                lambda: client.token_exchange(subject_token=foreign, subject_token_type="access_token"))

        begun = client.backchannel_authentication_request(
            scope="openid reviewed", login_hint="ana@example.com", task=task)
        check("CIBA begins", begun.interval == 5 and begun.expires_in > 60, begun)
        refused("CIBA waits for people", "AuthorizationPending", lambda: client.ciba(begun))
        refused("CIBA slows down", "SlowDown", lambda: client.ciba(begun))
        asked = {"grant_type": "client_credentials", "scope": "reviewed", "task": task}
        pending = session.post(client.token_endpoint, auth=auth, data=asked).json()
        check("client credentials wait alike", pending.get("auth_req_id") == begun.auth_req_id, pending)
        at_once = client.backchannel_authentication_request(scope="status", login_hint="x", task=task)
        token = client.ciba(at_once)
        check("CIBA without people", token.scope == "status", token)

        # A certificate instead of an assertion.
        tls = trusting(requests.Session(), session.verify)
        tls.cert = (str(work / "courier.pem"), str(work / "courier.key"))
        courier = OAuth2Client.from_discovery_endpoint(discovery, issuer=control, client_id="courier", session=tls)
        token = courier.client_credentials()
        bound = jwskate.SignedJwt(token.access_token).claims["cnf"]
        check("tls_client_auth binds the token", "x5t#S256" in bound, bound)
        check("it passes with the certificate", tls.get(f"{gate}/shop/status", auth=token).status_code == 502)
        answer = session.get(f"{gate}/shop/status", auth=token)
        check("and not without", answer.json()["code"] == "proof_invalid", answer.text)

        # Authlib.
        method = PrivateKeyJWT(metadata["token_endpoint"])
        other = OAuth2Session(
            "veteran", rsa.to_pem(), token_endpoint_auth_method=method, revocation_endpoint_auth_method=method)
        trusting(other, session.verify)
        token = other.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
        check("Authlib gets a token", token["token_type"] == "Bearer", token)
        answer = other.get(f"{gate}/shop/status")
        check("which passes", answer.status_code == 502, answer.text)
        told = other.introspect_token(metadata["introspection_endpoint"], token=token["access_token"]).json()
        check("Authlib introspects it", told.get("active") is True, told)
        gone = other.revoke_token(metadata["revocation_endpoint"], token=token["access_token"])
        check("Authlib revokes it", gone.status_code == 200, gone.text)
        answer = other.get(f"{gate}/shop/status")
        check("and it is refused", answer.status_code == 401, answer.text)
    finally:
        gateway.stop()


def trusting(session, ca):
    """A session that trusts our authority, whatever the environment says of others."""
    session.trust_env, session.verify = False, ca
    return session


def free_ports(count):
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(session, url):
    import requests

    for _ in range(100):
        try:
            return session.get(url)
        except requests.ConnectionError:
            time.sleep(0.1)
    sys.exit(f"nothing answers at {url}")


def client_certificate(work):
    """A certificate for `courier`, issued by the development authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = x509.load_pem_x509_certificate((work / "certs/ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((work / "certs/ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://example.org/courier")])
    usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = x509.CertificateBuilder(
        authority.subject, x509.Name([]), key.public_key(), x509.random_serial_number(), now - day, now + day)
    certificate = builder.add_extension(names, critical=True).add_extension(usage, False).sign(signer, hashes.SHA256())
    (work / "courier.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (work / "courier.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


SETTINGS = """
[gateway]
public_url = "{gate}"
[[gateway.listen]]
address = "127.0.0.1:{ports[0]}"
tls = {{ certificate = "certs/gateway.pem", key = "certs/gateway.key", client_ca = "certs/ca.pem" }}
[control]
listen = "127.0.0.1:{ports[1]}"
public_url = "{control}"
tls = {{ certificate = "certs/gateway.pem", key = "certs/gateway.key", client_ca = "certs/ca.pem" }}
[store]
path = "serve/portcullis.db"
[audit]
directory = "serve/audit"
[tokens]
signing_key_directory = "serve/keys"
algorithm = "EdDSA"
[[trusted_issuer]]
issuer = "https://idp.example"
jwks_file = "idp.json"
"""

# Nothing listens at the upstream: what passes the gate is told so.
POLICIES = """
[[service]]
name = "shop"
match = { path = "/shop" }
upstreams = ["http://127.0.0.1:9"]

[[operation]]
id = "shop.status"
service = "shop"
route = "GET /shop/status"
baseline = true

[[operation]]
id = "shop.reviewed"
service = "shop"
route = "GET /shop/reviewed"

[[entitlement]]
id = "status"
operations = ["shop.status"]
max_ttl = "10m"

[[entitlement]]
id = "reviewed"
operations = ["shop.reviewed"]
max_ttl = "10m"
approval = { group = "leads", expires = "10m" }

[[person]]
id = "ana@example.com"
groups = ["leads"]

[[agent]]
id = "courier"
groups = ["bots"]
spiffe_id = "spiffe://example.org/courier"
"""

RULES = """
@id("bots")
permit (principal in AgentGroup::"bots", action, resource);
"""


def in_an_environment():
    """Runs this file again where the packages are, if they are not here."""
    try:
        import authlib  # noqa: F401
        import requests_oauth2client  # noqa: F401
    except ImportError:
        venv = pathlib.Path(os.environ.get("VENV") or tempfile.mkdtemp()) / "venv"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [venv / "bin/python", "-m", "pip", "-q", "--disable-pip-version-check", "install", *PACKAGES]
        subprocess.run(pip, check=True)
        os.execv(venv / "bin/python", [venv / "bin/python", *sys.argv])


if __name__ == "__main__":
    in_an_environment()
    binary = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/portcullis").resolve()
    with tempfile.TemporaryDirectory() as directory:
        dev(binary, pathlib.Path(directory))
        serve(binary, pathlib.Path(directory))
    sys.exit(f"{failed} checks failed" if failed else 0)
