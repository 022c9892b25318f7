//! A client that proves that it holds a key (RFC 9449).

use portcullis::tokens::{Algorithm, SigningKey, sign_proof};

use super::post;
use crate::harness::{Agent, Answer, Call, Gateway};

/// A key, and the nonce that the server gave last.
pub(crate) struct Holder<'g> {
    gate: &'g Gateway,
    key: SigningKey,
    nonce: Option<String>,
}

impl<'g> Holder<'g> {
    /// A holder that the server has given a nonce.
    pub(crate) async fn new(gate: &'g Gateway) -> Self {
        let mut holder = Self::stranger(gate);
        let bot = gate.agent("bot");
        let answer = holder.asks(&bot, &[]).await.expect(400);
        assert_eq!(answer.json()["error"], "use_dpop_nonce");
        holder
    }

    /// A holder that the server has given no nonce yet.
    pub(crate) fn stranger(gate: &'g Gateway) -> Self {
        Self {
            gate,
            key: SigningKey::generate(Algorithm::Es256).unwrap(),
            nonce: None,
        }
    }

    /// The gateway that it speaks to.
    pub(crate) fn gate(&self) -> &'g Gateway {
        self.gate
    }

    /// The thumbprint of its key, as it stands in `cnf`.
    pub(crate) fn thumbprint(&self) -> String {
        self.key.kid()
    }

    /// A proof about one request.
    pub(crate) fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        let now = self.gate.clock.wall();
        let proof = sign_proof(&self.key, (method, url), token, self.nonce.as_deref(), now);
        proof.unwrap().expose().clone()
    }

    /// Asks the token endpoint for a token that is bound to the key.
    pub(crate) async fn asks(&mut self, agent: &Agent<'_>, more: &[(&str, &str)]) -> Answer {
        let url = format!("{}/oauth/token", self.gate.control_url);
        let proof = self.proof("POST", &url, None);
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend_from_slice(more);
        let call = post(self.gate, agent, "/oauth/token", &fields);
        let answer = call.header("dpop", &proof).send().await;
        self.learn(answer)
    }

    /// A token that is bound to the key.
    pub(crate) async fn token(&mut self, agent: &Agent<'_>, more: &[(&str, &str)]) -> String {
        let answer = self.asks(agent, more).await.expect(200).json();
        assert_eq!(answer["token_type"], "DPoP", "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Reads a path of the gateway with a token and a proof.
    pub(crate) async fn reads(&mut self, path: &str, token: &str) -> Answer {
        let url = format!("{}{path}", self.gate.public_url);
        let proof = self.proof("GET", &url, Some(token));
        let call = self.gate.call("GET", path).header("dpop", &proof);
        let answer = call.header("authorization", format!("DPoP {token}"));
        let answer = answer.send().await;
        self.learn(answer)
    }

    /// Calls the control side with a token and a proof; `shape` adds the body.
    pub(crate) async fn calls(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        shape: impl FnOnce(Call<'g>) -> Call<'g>,
    ) -> Answer {
        let url = format!("{}{path}", self.gate.control_url);
        let proof = self.proof(method, &url, Some(token));
        let call = self.gate.control(method, path).header("dpop", &proof);
        let call = call.header("authorization", format!("DPoP {token}"));
        let answer = shape(call).send().await;
        self.learn(answer)
    }

    /// Keeps the nonce that the server gives.
    pub(crate) fn learn(&mut self, answer: Answer) -> Answer {
        if let Some(nonce) = answer.header("dpop-nonce") {
            self.nonce = Some(nonce.to_owned());
        }
        answer
    }
}
