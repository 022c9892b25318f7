//! What was found, as programs are told.

use serde_json::{Value, json};

use super::{Change, Differs, Replayed};

impl Replayed {
    /// `{decisions, same, untouched, untouched_by, unknown, unknown_by, drifted, gains, losses, others}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let change = |change: &Change| {
            json!({
                "agent": change.agent,
                "what": change.what,
                "before": change.before,
                "after": change.after,
                "recorded": change.recorded,
                "rules_before": strings(&change.rules_before),
                "rules_after": strings(&change.rules_after),
                "count": change.count,
                "first": change.first,
            })
        };
        let of = |wanted: fn(&Change) -> bool| -> Value {
            let changes = self.changes.iter().filter(|one| wanted(one));
            changes.map(change).collect()
        };
        json!({
            "decisions": self.decisions,
            "same": self.same,
            "untouched": self.untouched,
            "untouched_by": self.untouched_by,
            "unknown": self.unknown,
            "unknown_by": self.unknown_by,
            "drifted": self.drifted,
            "gains": of(Change::is_gain),
            "losses": of(Change::is_loss),
            "others": of(|change| !change.is_gain() && !change.is_loss()),
        })
    }
}

impl Differs {
    /// `{gains, losses, others}` of several.
    #[must_use]
    pub fn all_to_json(differs: &[Self]) -> Value {
        let cell = |one: &Self| {
            json!({
                "agent": one.agent,
                "operation": one.operation,
                "before": one.before.to_string(),
                "after": one.after.to_string(),
            })
        };
        let of = |wanted: fn(&Self) -> bool| -> Value {
            let differs = differs.iter().filter(|one| wanted(one));
            differs.map(cell).collect()
        };
        json!({
            "gains": of(Self::is_gain),
            "losses": of(Self::is_loss),
            "others": of(|one| !one.is_gain() && !one.is_loss()),
        })
    }
}

fn strings(rules: &[std::sync::Arc<str>]) -> Vec<&str> {
    rules.iter().map(AsRef::as_ref).collect()
}
