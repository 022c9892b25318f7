//! The OAuth face on real sockets, as a stock client sees it.

mod ciba;
mod command_line;
mod discovery;
mod dpop;
mod exchange;
pub(crate) mod holder;
mod keys;
mod mtls;
mod resource;
mod standing;

use serde_json::Value;

use crate::harness::{Agent, Call, Gateway};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A call of an endpoint by an agent that authenticates with its key.
fn post<'g>(gate: &'g Gateway, agent: &Agent<'_>, path: &str, more: &[(&str, &str)]) -> Call<'g> {
    signed(gate, &agent.assertion(), path, more)
}

/// A call of an endpoint with a given assertion.
pub(crate) fn signed<'g>(
    gate: &'g Gateway,
    assertion: &str,
    path: &str,
    more: &[(&str, &str)],
) -> Call<'g> {
    let mut fields = vec![
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    fields.extend_from_slice(more);
    gate.control("POST", path).form(&fields)
}

/// The claims of the token in an answer, unverified.
fn claims(answer: &Value) -> Value {
    use base64::Engine as _;
    let token = answer["access_token"].as_str().expect("a token");
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    serde_json::from_slice(&payload.unwrap()).unwrap()
}
