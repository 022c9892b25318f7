//! Clients that authenticate by their certificate, and tokens that are bound to it (RFC 8705).

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use portcullis::base::Digest;
use portcullis::tls::mint::{Pair, issue_client_certificate};
use portcullis::tls::{ClientFiles, Connector};

use super::{JWT_BEARER, claims};
use crate::harness::{Answer, Gateway, Plan, base64url, run, within};

const SPIFFE_ID: &str = "spiffe://example.org/courier";

/// An agent that is known by its certificate alone.
const COURIER: &str = r#"
[[agent]]
id = "courier"
groups = ["bots"]
spiffe_id = "spiffe://example.org/courier"
"#;

fn plan() -> Plan {
    Plan::new().tls().file("courier.toml", COURIER)
}

/// A client with a certificate, or with none.
struct Client<'g> {
    gate: &'g Gateway,
    files: Option<Pair>,
}

impl<'g> Client<'g> {
    /// With a certificate of the gateway's own authority.
    fn issued(gate: &'g Gateway, name: &str, uris: &[&str]) -> Self {
        let ca = Pair::named(&gate.root().join("certs"), "ca");
        let pair = Pair::named(gate.root(), name);
        issue_client_certificate(&ca, &pair, name, uris, &gate.clock).unwrap();
        Self::with(gate, pair)
    }

    /// With a certificate that nobody but itself has issued, for a key of its own.
    fn self_signed(gate: &'g Gateway, name: &str, key: &rcgen::KeyPair) -> Self {
        let pair = Pair::named(gate.root(), name);
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = vec![rcgen::SanType::URI(SPIFFE_ID.try_into().unwrap())];
        let certificate = params.self_signed(key).unwrap();
        fs::write(&pair.certificate, certificate.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&pair.key, mode).unwrap();
        Self::with(gate, pair)
    }

    const fn with(gate: &'g Gateway, pair: Pair) -> Self {
        Self {
            gate,
            files: Some(pair),
        }
    }

    const fn bare(gate: &'g Gateway) -> Self {
        Self { gate, files: None }
    }

    /// The hash of its certificate, as it stands in `cnf`.
    fn thumbprint(&self) -> String {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let file = &self.files.as_ref().unwrap().certificate;
        let der = CertificateDer::from_pem_file(file).unwrap();
        base64url(Digest::of(&der).as_bytes())
    }

    async fn send(&self, control: bool, request: Request<Full<Bytes>>) -> Option<Answer> {
        let ca: PathBuf = self.gate.root().join("certs/ca.pem");
        let client = self.files.clone().map(|pair| (pair.certificate, pair.key));
        let files = ClientFiles {
            ca: Some(ca),
            client,
        };
        let connector = Connector::open(&files, false, self.gate.clock.clone()).unwrap();
        let address = if control {
            self.gate.control_address()
        } else {
            self.gate.address()
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = connector.connect("localhost", stream).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(async move { drop(connection.await) });
        let answer = within("an answer", sender.send_request(request))
            .await
            .ok()?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body,
            trailers: None,
        })
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Option<Answer> {
        let pairs = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace(':', "%3A").replace(' ', "+")));
        let request = Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(pairs.collect::<Vec<_>>().join("&")));
        self.send(true, request.unwrap()).await
    }

    async fn asks(&self, client: &str, more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![("grant_type", "client_credentials"), ("client_id", client)];
        fields.extend_from_slice(more);
        self.post("/oauth/token", &fields).await.unwrap()
    }

    async fn call(
        &self,
        control: bool,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::from(body.to_string()));
        self.send(control, request.unwrap()).await.unwrap()
    }

    /// A call of the API without any token.
    async fn asks_api(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()));
        self.send(true, request.unwrap()).await.unwrap()
    }

    async fn reads(&self, path: &str, token: &str) -> Answer {
        self.call(false, "GET", path, token, &json!({})).await
    }
}

fn token(answer: &Value) -> &str {
    answer["access_token"].as_str().unwrap()
}

#[test]
fn a_certificate_authenticates_its_agent_and_binds_the_token() {
    run(async {
        let gate = plan().start().await;
        let courier = Client::issued(&gate, "courier", &[SPIFFE_ID]);
        let identity = courier.asks("courier", &[]).await.expect(200).json();
        assert_eq!(identity["token_type"], "Bearer");
        let bound = &claims(&identity)["cnf"]["x5t#S256"];
        assert_eq!(*bound, courier.thumbprint());
        let opened = courier
            .call(true, "POST", "/v1/tasks", token(&identity), &json!({}))
            .await;
        let task = opened.expect(201).json()["id"].as_str().unwrap().to_owned();
        let scoped = [("task", task.as_str()), ("scope", "mtls")];
        let scoped = courier.asks("courier", &scoped).await.expect(200).json();
        courier
            .reads("/shop/mtls", token(&scoped))
            .await
            .expect(200);

        // Stolen, the token is worth nothing without the certificate.
        let other = Client::issued(&gate, "other", &["spiffe://example.org/other"]);
        for thief in [&Client::bare(&gate), &other] {
            let refused = thief.reads("/shop/mtls", token(&scoped)).await;
            refused.refusal(401, "proof_invalid");
            let challenge = refused.challenge().unwrap();
            assert_eq!(challenge.scheme, "Bearer");
            assert_eq!(challenge.param("error"), "invalid_token");
            let path = format!("/v1/tasks/{task}");
            let refused = thief
                .call(true, "GET", &path, token(&scoped), &json!({}))
                .await;
            refused.problem(401, "proof_invalid");
        }
        // It authenticates at the other endpoints as well.
        let fields = [("client_id", "courier"), ("token", token(&scoped))];
        let told = courier.post("/oauth/introspect", &fields).await.unwrap();
        let told = told.expect(200).json();
        assert_eq!(
            (&told["active"], &told["scope"]),
            (&json!(true), &json!("mtls"))
        );
    });
}

#[test]
fn only_the_agents_own_name_in_a_certificate_of_ours_counts() {
    run(async {
        let gate = plan().start().await;
        let stranger = Plan::new().tls().start().await;
        let refused = async |client: Client<'_>, name: &str| {
            let answer = client.asks(name, &[]).await.expect(401);
            assert_eq!(answer.json()["error"], "invalid_client");
            assert!(answer.challenge().is_some());
        };
        let other = "spiffe://example.org/other";
        refused(Client::issued(&gate, "a", &[other]), "courier").await;
        refused(Client::issued(&gate, "b", &[SPIFFE_ID, other]), "courier").await;
        refused(Client::issued(&gate, "c", &[]), "courier").await;
        refused(Client::issued(&gate, "d", &[SPIFFE_ID]), "bot").await;
        refused(Client::issued(&gate, "e", &[SPIFFE_ID]), "nobody").await;
        refused(Client::bare(&gate), "courier").await;
        let nameless = Client::issued(&gate, "f", &[SPIFFE_ID]);
        let fields = [("grant_type", "client_credentials")];
        let answer = nameless.post("/oauth/token", &fields).await.unwrap();
        assert_eq!(answer.expect(401).json()["error"], "invalid_client");
        // One of another authority does not even shake hands.
        let foreign = Client::issued(&stranger, "g", &[SPIFFE_ID]);
        let foreign = Client::with(&gate, foreign.files.unwrap());
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", "courier"),
        ];
        assert!(foreign.post("/oauth/token", &fields).await.is_none());
    });
}

#[test]
fn a_certificate_of_ones_own_making_counts_by_its_key() {
    run(async {
        let key = rcgen::KeyPair::generate().unwrap();
        let point = key.public_key_raw();
        let agent = format!(
            "[[agent]]\nid = \"maker\"\ngroups = [\"bots\"]\n\
             keys = [{{ kty = \"EC\", crv = \"P-256\", x = \"{}\", y = \"{}\" }}]\n",
            base64url(&point[1..33]),
            base64url(&point[33..])
        );
        let gate = plan()
            .client_auth("any")
            .file("maker.toml", &agent)
            .start()
            .await;
        let maker = Client::self_signed(&gate, "maker", &key);
        let identity = maker.asks("maker", &[]).await.expect(200).json();
        let bound = &claims(&identity)["cnf"]["x5t#S256"];
        assert_eq!(*bound, maker.thumbprint());
        maker
            .reads("/shop/status", token(&identity))
            .await
            .expect(200);
        let refused = Client::bare(&gate)
            .reads("/shop/status", token(&identity))
            .await;
        refused.refusal(401, "proof_invalid");

        // The name that it writes into its certificate is nobody's word but its own.
        let stolen_name = maker.asks("courier", &[]).await.expect(401);
        assert_eq!(stolen_name.json()["error"], "invalid_client");
        let other = rcgen::KeyPair::generate().unwrap();
        let other = Client::self_signed(&gate, "other", &other);
        other.asks("maker", &[]).await.expect(401);
        other
            .reads("/shop/status", token(&identity))
            .await
            .refusal(401, "proof_invalid");
        // What an authority has issued still counts by its name.
        let courier = Client::issued(&gate, "courier", &[SPIFFE_ID]);
        courier.asks("courier", &[]).await.expect(200);
    });
}

#[test]
fn a_client_can_ask_for_a_token_that_is_bound_to_its_certificate() {
    run(async {
        let gate = plan().start().await;
        let bot = gate.agent("bot");
        let client = Client::issued(&gate, "bot", &[]);
        let asks = async |client: &Client<'_>, word: &str| {
            let assertion = bot.assertion();
            let fields = [
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", assertion.as_str()),
                ("tls_client_certificate_bound_access_tokens", word),
            ];
            client.asks("bot", &fields).await
        };
        let bound = asks(&client, "true").await.expect(200).json();
        assert_eq!(claims(&bound)["cnf"]["x5t#S256"], client.thumbprint());
        let free = asks(&client, "false").await.expect(200).json();
        assert_eq!(claims(&free)["cnf"], Value::Null);
        let odd = asks(&client, "yes").await.expect(400).json();
        assert_eq!(odd["error"], "invalid_request");
        let bare = asks(&Client::bare(&gate), "true").await.expect(400).json();
        assert_eq!(bare["error"], "invalid_request");
    });
}

#[test]
fn a_certificate_alone_is_enough_at_the_api() {
    run(async {
        let key = rcgen::KeyPair::generate().unwrap();
        let point = key.public_key_raw();
        let agent = format!(
            "[[agent]]\nid = \"maker\"\ngroups = [\"bots\"]\n\
             keys = [{{ kty = \"EC\", crv = \"P-256\", x = \"{}\", y = \"{}\" }}]\n",
            base64url(&point[1..33]),
            base64url(&point[33..])
        );
        let gate = plan()
            .client_auth("any")
            .file("maker.toml", &agent)
            .start()
            .await;
        let courier = Client::issued(&gate, "courier", &[SPIFFE_ID]);
        let maker = Client::self_signed(&gate, "maker", &key);
        let mut tasks = Vec::new();
        for (client, name) in [(&courier, "courier"), (&maker, "maker")] {
            let opened = client.asks_api("POST", "/v1/tasks", &json!({})).await;
            let opened = opened.expect(201).json();
            assert_eq!(opened["agent"], name);
            assert_eq!(opened["opened_by"], name);
            tasks.push(opened["id"].as_str().unwrap().to_owned());
        }
        // Its holder shows the certificate, so what demands one is granted, and serves it alone.
        let ask = json!({ "task": tasks[0], "entitlement": "mtls" });
        let asked = courier.asks_api("POST", "/v1/requests", &ask).await;
        assert_eq!(asked.expect(201).json()["state"], "active");
        let fields = [("task", tasks[0].as_str())];
        let bound = courier.asks("courier", &fields).await.expect(200).json();
        assert_eq!(claims(&bound)["amr"], json!(["tls_client_auth"]));
        courier.reads("/shop/mtls", token(&bound)).await.expect(200);

        // Each sees its own.
        let foreign = format!("/v1/tasks/{}", tasks[0]);
        let foreign = maker.asks_api("GET", &foreign, &json!({})).await;
        foreign.problem(404, "not_found");
        let operators = maker
            .asks_api("POST", "/v1/policies/reload", &json!({}))
            .await;
        operators.problem(403, "forbidden");
        // It is no bearer token: at the gateway there is none.
        let call = Request::get("/shop/status").header("host", "localhost");
        let call = call.body(Full::default()).unwrap();
        let call = courier.send(false, call).await.unwrap();
        call.refusal(401, "token_missing");

        let other = rcgen::KeyPair::generate().unwrap();
        for nobody in [
            Client::issued(&gate, "a", &["spiffe://example.org/other"]),
            Client::issued(&gate, "b", &[SPIFFE_ID, "spiffe://example.org/other"]),
            Client::issued(&gate, "c", &[]),
            // It has written the courier's name into its certificate itself.
            Client::self_signed(&gate, "d", &other),
            Client::bare(&gate),
        ] {
            let refused = nobody.asks_api("POST", "/v1/tasks", &json!({})).await;
            refused.problem(401, "token_missing");
        }
        let operator = gate.operator();
        let revoke = gate.control("POST", "/v1/agents/courier/revoke");
        revoke
            .bearer(&operator)
            .json(&json!({}))
            .send()
            .await
            .expect(200);
        let refused = courier.asks_api("POST", "/v1/tasks", &json!({})).await;
        refused.problem(401, "token_invalid");
        let finish = format!("/v1/tasks/{}/complete", tasks[1]);
        let done = maker.asks_api("POST", &finish, &json!({})).await;
        done.expect(200);
    });
}

#[test]
fn rules_see_how_the_holder_of_a_token_authenticated() {
    run(async {
        let rules = r#"
@id("open")
permit (principal, action in Action::"open", resource)
when { context.auth.methods.contains("tls_client_auth") };
"#;
        let gate = plan().file("rules.cedar", rules).start().await;
        let courier = Client::issued(&gate, "courier", &[SPIFFE_ID]);
        let identity = courier.asks("courier", &[]).await.expect(200).json();
        courier
            .reads("/shop/status", token(&identity))
            .await
            .expect(200);
        let bot = gate.agent("bot").token().await;
        let client = Client::bare(&gate);
        let refused = client.reads("/shop/status", &bot).await;
        refused.refusal(403, "condition_denied");
    });
}
