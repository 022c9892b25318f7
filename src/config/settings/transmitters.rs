//! `[[ssf_transmitter]]`: who sends security events.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::issuers::{jwks, not_empty};
use super::read::span;
use super::{Control, JwksSource};
use crate::config::credentials::parse_source;
use crate::config::fields::Fields;
use crate::config::text::Place;
use crate::model::CredentialSource;
use crate::signals::Score;

/// How long a score counts that an event tells, where nothing else is said.
const SCORE_LIFE: Duration = Duration::from_hours(7 * 24);

/// How long it may.
const SCORE_LIVES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(30 * 24);

/// Who sends security events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsfTransmitter {
    /// The `iss` of its tokens, letter by letter.
    pub issuer: String,
    /// Where its keys are.
    pub jwks: JwksSource,
    /// The `aud` that its tokens must have.
    pub audience: String,
    /// Where the bearer token is that it shows besides.
    pub bearer: Option<CredentialSource>,
    /// The scores that `LOW`, `MEDIUM` and `HIGH` stand for.
    pub scores: [Score; 3],
    /// How long such a score counts.
    pub score_life: Duration,
}

/// The transmitters read so far.
pub(super) struct Transmitters<'s> {
    directory: &'s Path,
    audience: Option<String>,
    taken: HashMap<String, Place>,
    found: Vec<SsfTransmitter>,
}

impl<'s> Transmitters<'s> {
    pub(super) fn new(control: Option<&Control>, directory: &'s Path) -> Self {
        Self {
            directory,
            audience: control.map(|control| control.public_url.to_string()),
            taken: HashMap::new(),
            found: Vec::new(),
        }
    }

    /// Reads one `[[ssf_transmitter]]`.
    pub(super) fn add(&mut self, mut fields: Fields<'_, '_>) {
        let issuer = fields
            .required("issuer")
            .filter(|text| not_empty(&mut fields, text));
        let jwks = jwks(&mut fields, self.directory, "a transmitter");
        let audience = fields
            .string("audience")
            .filter(|text| not_empty(&mut fields, text));
        let bearer = fields.string("bearer_from").and_then(|text| {
            let source = parse_source(&text.value);
            source
                .map_err(|error| {
                    fields.problems().error(&text.place, error.to_string());
                })
                .ok()
        });
        let scores = scores(&mut fields);
        let score_life = span(
            &mut fields,
            "score_life",
            SCORE_LIVES,
            "a score counts for a second at least, and for 30 days at most",
        );
        if let Some(issuer) = &issuer
            && let Some(first) = self
                .taken
                .insert(issuer.value.clone(), issuer.place.clone())
        {
            let message = format!("the transmitter `{}` is named twice", issuer.value);
            let problem = fields.problems().error(&issuer.place, message);
            problem.hint(format!("the first is at {first}"));
        }
        fields.finish();
        let audience = audience.map(|text| text.value).or(self.audience.clone());
        let (Some(issuer), Some(jwks), Some(audience), Some(scores)) =
            (issuer, jwks, audience, scores)
        else {
            return;
        };
        self.found.push(SsfTransmitter {
            issuer: issuer.value,
            jwks,
            audience,
            bearer,
            scores,
            score_life: score_life.unwrap_or(SCORE_LIFE),
        });
    }

    pub(super) fn found(self) -> Vec<SsfTransmitter> {
        self.found
    }
}

/// `scores = { low, medium, high }`, in this order.
fn scores(fields: &mut Fields<'_, '_>) -> Option<[Score; 3]> {
    let mut table = fields.section("scores");
    let mut one = |key: &'static str, default: i64| {
        let Some(text) = table.scalar(key) else {
            return Score::try_from(default).ok();
        };
        let score = text.value.parse().ok();
        let score = score.and_then(|number: i64| Score::try_from(number).ok());
        if score.is_none() {
            let message = format!("`{key}` is a score from 0 to 100, not `{}`", text.value);
            table.problems().error(&text.place, message);
        }
        score
    };
    let scores = [one("low", 10), one("medium", 50), one("high", 90)];
    table.finish();
    let [Some(low), Some(medium), Some(high)] = scores else {
        return None;
    };
    Some([low, medium, high])
}
