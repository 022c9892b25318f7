//! One spelling for every `http` URL, so that two of them can be compared letter by letter.

#[cfg(test)]
mod tests;

use http::Uri;

use super::canonical_segment;

/// The normal spelling of an `http` or `https` URL, without its query and fragment: scheme and host in
/// lower case, no default port, no empty path, path segments as [`canonical_segment`] spells them
/// (RFC 3986 §6.2.2, §6.2.3). Nothing where it is no such URL, names a user, or its path has two
/// readings.
#[must_use]
pub fn normal_url(url: &str) -> Option<String> {
    let url = url.split(['?', '#']).next()?;
    let uri: Uri = url.parse().ok()?;
    let (scheme, default_port) = match uri.scheme_str()? {
        "http" => ("http", 80),
        "https" => ("https", 443),
        _ => return None,
    };
    let authority = uri.authority()?.as_str();
    let host = uri.host().filter(|host| !host.is_empty())?;
    // What is left of the authority is a port or nothing; a user name is in front of the host.
    let port = match authority.strip_prefix(host)? {
        "" | ":" => default_port,
        text => {
            let digits = text.strip_prefix(':')?;
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()?
        }
    };
    let mut normal = format!("{scheme}://{}", host.to_ascii_lowercase());
    if port != default_port {
        normal.push_str(&format!(":{port}"));
    }
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    for segment in path.split('/') {
        normal.push('/');
        normal.push_str(&canonical_segment(segment).ok()?);
    }
    Some(normal)
}
