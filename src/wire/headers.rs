//! Header names with a fixed fate at the gateway.

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, header};

/// Names that the gateway alone writes on a forwarded request, beside every name that starts with
/// `portcullis-` or `x-forwarded-`.
pub const CONTROLLED_BY_GATEWAY: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("dpop"),
    header::FORWARDED,
    HeaderName::from_static("x-real-ip"),
];

/// Whether a header belongs to one connection and never crosses (RFC 9110 §7.6.1).
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The names that `Connection` lists, in lower case: they too belong to one connection.
pub fn connection_listed(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all(header::CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
}

/// Whether a client-sent header could be taken by an upstream for something that only the gateway
/// may say: who calls, for whom, with what method or path. Names with `_` count, because many
/// servers read `X_Forwarded_User` as `X-Forwarded-User` (CVE-2025-64484).
#[must_use]
pub fn is_identity_look_alike(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.contains('_')
        || name.starts_with("x-forwarded-")
        || name.starts_with("portcullis-")
        || name.starts_with("x-auth")
        || matches!(
            name,
            "forwarded"
                | "remote-user"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "x-envoy-external-address"
                | "x-http-method"
                | "x-http-method-override"
                | "x-method-override"
                | "x-original-host"
                | "x-original-method"
                | "x-original-uri"
                | "x-original-url"
                | "x-real-ip"
                | "x-remote-user"
                | "x-rewrite-url"
                | "true-client-ip"
        )
        || (name.starts_with("x-")
            && ["-user", "-user-id", "-id", "-email", "-groups", "-roles"]
                .iter()
                .any(|ending| {
                    name.ends_with(ending) && name != "x-request-id" && name != "x-correlation-id"
                }))
}

/// Whether a header of a client's never reaches the upstream: it belongs to one connection, or only the
/// gateway may say it, or it is written anew.
#[must_use]
pub fn stays_at_gateway(name: &HeaderName) -> bool {
    is_hop_by_hop(name)
        || is_identity_look_alike(name)
        || CONTROLLED_BY_GATEWAY.contains(name)
        || matches!(
            *name,
            header::CONTENT_LENGTH | header::EXPECT | header::HOST | header::VIA
        )
        || name == "traceparent"
}
