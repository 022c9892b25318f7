//! Methods by which somebody has authenticated, and how many kinds of factors they make.

#[cfg(test)]
mod tests;

use Kind::{Inherence, Knowledge, Possession};

use super::Method;

/// What a method has somebody show. Two of one kind are one factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What they are.
    Inherence,
    /// What they know.
    Knowledge,
    /// What they hold.
    Possession,
}

/// The method that stands for several, whichever they were.
pub(super) const MFA: &str = "mfa";

/// The method of every token of an outside issuer.
pub(super) const TRUSTED_ISSUER: &str = "trusted_issuer";

/// The registered values of `amr` (RFC 8176 §2) with the kind of factor that each is. `mca` is a second channel,
/// `rba` a guess, `user` a presence, `geo` a place and `wia` whatever a domain did: none of them tells of a factor.
const REGISTERED: [(&str, Option<Kind>); 21] = [
    ("face", Some(Inherence)),
    ("fpt", Some(Inherence)),
    ("geo", None),
    ("hwk", Some(Possession)),
    ("iris", Some(Inherence)),
    ("kba", Some(Knowledge)),
    ("mca", None),
    (MFA, None),
    ("otp", Some(Possession)),
    ("pin", Some(Knowledge)),
    ("pop", Some(Possession)),
    ("pwd", Some(Knowledge)),
    ("rba", None),
    ("retina", Some(Inherence)),
    ("sc", Some(Possession)),
    ("sms", Some(Possession)),
    ("swk", Some(Possession)),
    ("tel", Some(Possession)),
    ("user", None),
    ("vbm", Some(Inherence)),
    ("wia", None),
];

/// The registered method of this name. What is not registered says nothing that rules could rely on, and no outside
/// issuer can say that somebody has authenticated with us.
pub(super) fn registered(name: &str) -> Option<&'static str> {
    let mut methods = REGISTERED.iter();
    methods.find(|(one, _)| *one == name).map(|(one, _)| *one)
}

/// The method of this name that a token of our own brings along from an outside issuer's, for which it was
/// exchanged; none of another.
pub(super) fn brought_along(name: &str) -> Option<&'static str> {
    if name == TRUSTED_ISSUER {
        return Some(TRUSTED_ISSUER);
    }
    registered(name)
}

/// The kind of factor that a method is. All by which an agent authenticates with us are keys that it holds.
fn kind(name: &str) -> Option<Kind> {
    match REGISTERED.iter().find(|(one, _)| *one == name) {
        Some((_, kind)) => *kind,
        None => Method::named(name).map(|_| Possession),
    }
}

/// How many factors these methods make: their different kinds, two at least with `mfa`, and one where there is any
/// method at all. Beside those of an outside issuer the key that an agent holds makes none: what its token was
/// exchanged for is worth no more than it was.
#[must_use]
pub fn factors(methods: &[&str]) -> i64 {
    let exchanged = methods.contains(&TRUSTED_ISSUER);
    let counts = |name: &&&str| !exchanged || Method::named(name).is_none();
    let counted = methods.iter().filter(counts);
    let has = |wanted| counted.clone().any(|name| kind(name) == Some(wanted));
    let all = [Inherence, Knowledge, Possession].map(|kind| i64::from(has(kind)));
    let least = match methods {
        [] => 0,
        some if some.contains(&MFA) => 2,
        _ => 1,
    };
    all.iter().sum::<i64>().max(least)
}
