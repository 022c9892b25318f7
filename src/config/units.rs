//! Durations and sizes as people write them.

#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

/// The longest duration that makes sense in any file: with more, sums of times could overflow.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// A duration or size that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum UnitError {
    /// Not a duration.
    #[error("`{0}` is not a duration: write it like 45s, 15m or 1h30m")]
    Duration(String),
    /// More than a year.
    #[error("`{0}` is longer than a year")]
    Long(String),
    /// More than a machine can count.
    #[error("`{0}` is too large")]
    Large(String),
    /// Not a size.
    #[error("`{0}` is not a size: write it like 512, 64KiB or 10MB")]
    Size(String),
}

/// Reads `1h30m`, `45s`, `250ms`; a bare number counts seconds.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let odd = || UnitError::Duration(text.to_owned());
    let long = || UnitError::Long(text.to_owned());
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse().map_err(|_| long())?;
        return Some(Duration::from_secs(seconds))
            .filter(|total| *total <= LONGEST)
            .ok_or_else(long);
    }
    let mut total = Duration::ZERO;
    let mut smallest = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after, |c| c.is_ascii_digit());
        let millis = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return Err(odd()),
        };
        // Each unit once, from large to small: `5m1h` is more likely a slip than a sum.
        if number.is_empty() || millis >= smallest {
            return Err(odd());
        }
        smallest = millis;
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(millis));
        total = part
            .and_then(|part| total.checked_add(Duration::from_millis(part)))
            .filter(|total| *total <= LONGEST)
            .ok_or_else(long)?;
        rest = after;
    }
    if smallest == u64::MAX {
        Err(odd())
    } else {
        Ok(total)
    }
}

/// Reads `512`, `64KiB`, `10MB`; a bare number counts bytes.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split_where(text, |c| !c.is_ascii_digit());
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(UnitError::Size(text.to_owned())),
    };
    if number.is_empty() {
        return Err(UnitError::Size(text.to_owned()));
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        // Conditions count in signed 64-bit numbers.
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| UnitError::Large(text.to_owned()))
}

fn split_where(text: &str, at: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(at).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}
