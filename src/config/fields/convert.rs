//! TOML values as other rooms know them.

use serde_json::Value as Json;
use toml::de::{DeInteger, DeValue};

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A whole number in decimal digits, whatever base it was written in.
pub(super) fn decimal(number: &DeInteger<'_>) -> String {
    integer(number).map_or_else(|| number.to_string(), |number| number.to_string())
}

/// A TOML value as JSON; what JSON can't say becomes null.
pub(super) fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Boolean(value) => Json::Bool(*value),
        DeValue::Datetime(value) => Json::String(value.to_string()),
        DeValue::Float(value) => value.as_str().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Integer(value) => integer(value).map_or(Json::Null, Json::from),
        DeValue::String(value) => Json::String(value.clone().into_owned()),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().clone().into_owned(), json(value.get_ref())))
            .collect(),
    }
}
