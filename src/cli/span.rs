//! Lengths of time on the command line: `90s`, `10m`, `1h 30m`.

#[cfg(test)]
mod tests;

use jiff::SignedDuration;
use serde_json::Value;

/// A length of time in whole seconds, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds(i64);

impl Seconds {
    /// As the control side's documents have it.
    pub(super) fn to_json(self) -> Value {
        Value::from(self.0)
    }
}

impl std::str::FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration: SignedDuration = text
            .parse()
            .map_err(|_| "write it like `90s`, `10m` or `1h30m`".to_owned())?;
        if duration.as_secs() < 1 || duration.subsec_nanos() != 0 {
            return Err("whole seconds, at least one".to_owned());
        }
        Ok(Self(duration.as_secs()))
    }
}
