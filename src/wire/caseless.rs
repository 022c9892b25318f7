//! Names that some reader takes for one.

#[cfg(test)]
mod tests;

/// Whether two names differ in case only, in any script: to many readers of JSON and forms they are then one
/// (GHSA-4gph-2hhr-5mwg). Unicode's folding (§3.13.3) takes in more than lower case does: U+017F is an `s` to it.
#[must_use]
pub fn is_caseless_match(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    folded(one).eq(folded(other))
}

/// A name in the one spelling of all that match it.
fn folded(name: &str) -> impl Iterator<Item = char> {
    let upper = name.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase)
}
