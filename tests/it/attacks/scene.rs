//! What attackers and honest agents have in common: the gateway, and a network that is theirs.

use serde_json::json;

use super::dice::Dice;
use crate::harness::{Answer, Call, Gateway, Work};
use crate::oauth::holder::Holder;

/// The header that each call of an attack bears, and each one of a race for a budget: what of them
/// arrives is found by it.
pub(super) const ATTACK: &str = "x-attack";
pub(super) const RACE: &str = "x-race";

/// Where everything happens.
pub(super) struct Scene<'g> {
    pub(super) gate: &'g Gateway,
}

/// A token that is bound to a key, with its task's grant for `GET /shop/dpop`.
pub(super) struct Bound<'g> {
    pub(super) holder: Holder<'g>,
    pub(super) token: String,
}

impl<'g> Scene<'g> {
    pub(super) fn new(gate: &'g Gateway) -> Self {
        Self { gate }
    }

    /// A call from the agents' network.
    pub(super) fn honest(&self, method: &str, path: &str, dice: &mut Dice) -> Call<'g> {
        let call = self.gate.call(method, path);
        call.header("x-forwarded-for", self.at_home(dice))
    }

    /// An attacker's call from the agents' network.
    pub(super) fn attack(&self, method: &str, path: &str, dice: &mut Dice) -> Call<'g> {
        self.honest(method, path, dice).header(ATTACK, "1")
    }

    /// An attacker's call that says itself where it comes from.
    pub(super) fn attack_from(&self, method: &str, path: &str, from: &str) -> Call<'g> {
        let call = self.gate.call(method, path).header(ATTACK, "1");
        call.header("x-forwarded-for", from)
    }

    /// An address in the agents' network.
    pub(super) fn at_home(&self, dice: &mut Dice) -> String {
        format!("10.20.{}.{}", dice.below(256), 1 + dice.below(254))
    }

    /// An address outside of it.
    pub(super) fn elsewhere(&self, dice: &mut Dice) -> String {
        let network = dice.pick(&["198.51.100", "203.0.113", "10.21.0", "192.0.2"]);
        format!("{network}.{}", 1 + dice.below(254))
    }

    /// An honest agent with a bound token that works.
    pub(super) async fn bound(&self) -> Bound<'g> {
        let bot = self.gate.agent("bot");
        let mut holder = Holder::new(self.gate).await;
        let token = holder.token(&bot, &[]).await;
        let opened = holder.calls("POST", "/v1/tasks", &token, |call| call).await;
        let task = opened.expect(201).json()["id"].as_str().unwrap().to_owned();
        let token = holder.token(&bot, &[("task", &task)]).await;
        let body = json!({ "task": task, "entitlement": "dpop" });
        let asked = holder.calls("POST", "/v1/requests", &token, |call| call.json(&body));
        asked.await.expect(201);
        Bound { holder, token }
    }

    /// A change of a task or a grant on the control side.
    pub(super) async fn post(&self, path: &str, key: &str) -> Answer {
        self.gate.control("POST", path).bearer(key).send().await
    }

    /// A call that shows that the right is there before it is abused.
    pub(super) async fn lists(&self, work: &Work, dice: &mut Dice) {
        let call = self.honest("GET", "/shop/items", dice);
        call.bearer(&work.token).send().await.expect(200);
    }
}

impl Bound<'_> {
    /// A proof about a request for the gateway.
    pub(super) fn proof(&self, method: &str, path: &str) -> String {
        let url = format!("{}{path}", self.holder.gate().public_url);
        self.holder.proof(method, &url, Some(&self.token))
    }

    /// The value of its `Authorization`.
    pub(super) fn authorization(&self) -> String {
        format!("DPoP {}", self.token)
    }
}

/// Whether this is one of the refusals, each given by its status, its code and, where a rule made it, that.
pub(super) fn refused(answer: &Answer, wanted: &[(u16, &str, &str)]) -> Result<(), String> {
    let text = || String::from_utf8_lossy(&answer.body).into_owned();
    let Ok(problem) = serde_json::from_slice::<serde_json::Value>(&answer.body) else {
        return Err(format!("{} {}", answer.status, text()));
    };
    let rule = problem["rule"].as_str().unwrap_or_default();
    let is_it = |(status, code, by): &(u16, &str, &str)| {
        answer.status == *status && problem["code"] == *code && rule == *by
    };
    if wanted.iter().any(is_it) {
        return Ok(());
    }
    Err(format!("{} {}", answer.status, text()))
}
