//! What nodes come to: plain values, borrowed from the question or the rule.

use std::cmp::Ordering;
use std::net::IpAddr;

use cedar_policy::EntityUid;

/// A compiled rule came to something that it has no answer for: an attribute that is not there, a number
/// too large, a comparison that makes no sense. Cedar is asked then, and says what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pdp) struct Stumbled;

/// A value of Cedar's, as far as compiled rules know them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    /// Milliseconds since the epoch.
    Datetime(i64),
    /// Milliseconds.
    Duration(i64),
    Entity(&'a EntityUid),
    Ip(Network),
    Long(i64),
    Set(Set<'a>),
    Text(&'a str),
}

/// A set of texts, or of whatever a rule lists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Set<'a> {
    Listed(&'a [Constant]),
    Texts(&'a [&'a str]),
}

/// A value that stands in a rule.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    Bool(bool),
    Datetime(i64),
    Duration(i64),
    Entity(EntityUid),
    Ip(Network),
    Long(i64),
    Set(Box<[Self]>),
    Text(Box<str>),
}

impl Constant {
    /// What a node came to, kept.
    pub(super) fn of(value: Value<'_>) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(value),
            Value::Datetime(value) => Self::Datetime(value),
            Value::Duration(value) => Self::Duration(value),
            Value::Entity(uid) => Self::Entity(uid.clone()),
            Value::Ip(network) => Self::Ip(network),
            Value::Long(value) => Self::Long(value),
            Value::Set(set) => Self::Set(set.iter().map(Self::of).collect()),
            Value::Text(text) => Self::Text(text.into()),
        }
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Datetime(value) => Value::Datetime(*value),
            Self::Duration(value) => Value::Duration(*value),
            Self::Entity(uid) => Value::Entity(uid),
            Self::Ip(network) => Value::Ip(*network),
            Self::Long(value) => Value::Long(*value),
            Self::Set(listed) => Value::Set(Set::Listed(listed)),
            Self::Text(text) => Value::Text(text),
        }
    }
}

impl<'a> Value<'a> {
    pub(super) const fn truth(self) -> Result<bool, Stumbled> {
        match self {
            Self::Bool(truth) => Ok(truth),
            _ => Err(Stumbled),
        }
    }

    pub(super) const fn long(self) -> Result<i64, Stumbled> {
        match self {
            Self::Long(number) => Ok(number),
            _ => Err(Stumbled),
        }
    }

    pub(super) const fn text(self) -> Result<&'a str, Stumbled> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(Stumbled),
        }
    }

    pub(super) const fn ip(self) -> Result<Network, Stumbled> {
        match self {
            Self::Ip(network) => Ok(network),
            _ => Err(Stumbled),
        }
    }

    pub(super) const fn datetime(self) -> Result<i64, Stumbled> {
        match self {
            Self::Datetime(moment) => Ok(moment),
            _ => Err(Stumbled),
        }
    }

    pub(super) const fn duration(self) -> Result<i64, Stumbled> {
        match self {
            Self::Duration(span) => Ok(span),
            _ => Err(Stumbled),
        }
    }

    pub(super) const fn set(self) -> Result<Set<'a>, Stumbled> {
        match self {
            Self::Set(set) => Ok(set),
            _ => Err(Stumbled),
        }
    }

    /// Cedar's `==`. Values of two types are never equal there, and strict validation lets none be
    /// compared: they make this stumble.
    pub(super) fn equals(self, other: Self) -> Result<bool, Stumbled> {
        match (self, other) {
            (Self::Bool(ours), Self::Bool(theirs)) => Ok(ours == theirs),
            (Self::Datetime(ours), Self::Datetime(theirs))
            | (Self::Duration(ours), Self::Duration(theirs))
            | (Self::Long(ours), Self::Long(theirs)) => Ok(ours == theirs),
            (Self::Entity(ours), Self::Entity(theirs)) => Ok(ours == theirs),
            (Self::Ip(ours), Self::Ip(theirs)) => Ok(ours == theirs),
            (Self::Set(ours), Self::Set(theirs)) => {
                Ok(ours.holds_all(theirs)? && theirs.holds_all(ours)?)
            }
            (Self::Text(ours), Self::Text(theirs)) => Ok(ours == theirs),
            _ => Err(Stumbled),
        }
    }

    /// Cedar's `<` and its like.
    pub(super) fn compare(self, other: Self) -> Result<Ordering, Stumbled> {
        match (self, other) {
            (Self::Datetime(ours), Self::Datetime(theirs))
            | (Self::Duration(ours), Self::Duration(theirs))
            | (Self::Long(ours), Self::Long(theirs)) => Ok(ours.cmp(&theirs)),
            _ => Err(Stumbled),
        }
    }
}

impl<'a> Set<'a> {
    fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let (listed, texts): (&[Constant], &[&str]) = match self {
            Self::Listed(listed) => (listed, &[]),
            Self::Texts(texts) => (&[], texts),
        };
        let texts = texts.iter().map(|text| Value::Text(text));
        listed.iter().map(Constant::value).chain(texts)
    }

    pub(super) const fn is_empty(self) -> bool {
        match self {
            Self::Listed(listed) => listed.is_empty(),
            Self::Texts(texts) => texts.is_empty(),
        }
    }

    pub(super) fn holds(self, value: Value<'_>) -> Result<bool, Stumbled> {
        for ours in self.iter() {
            if ours.equals(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn holds_all(self, other: Set<'_>) -> Result<bool, Stumbled> {
        for value in other.iter() {
            if !self.holds(value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn holds_any(self, other: Set<'_>) -> Result<bool, Stumbled> {
        for value in other.iter() {
            if self.holds(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Cedar's `ipaddr`: an address, or a range of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pdp) struct Network {
    address: IpAddr,
    /// How many bits of it are the network's.
    prefix: u8,
}

impl Network {
    pub(super) const fn single(address: IpAddr) -> Self {
        let prefix = Self::bits(address);
        Self { address, prefix }
    }

    /// Reads what Cedar's `ip("…")` has taken already.
    pub(in crate::pdp) fn read(text: &str) -> Option<Self> {
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().ok().map(Self::single);
        };
        let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
        (prefix <= Self::bits(address)).then_some(Self { address, prefix })
    }

    const fn bits(address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }

    pub(in crate::pdp) const fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    pub(in crate::pdp) fn is_loopback(self) -> bool {
        let least = if self.is_ipv4() { 8 } else { 128 };
        self.address.is_loopback() && self.prefix >= least
    }

    pub(in crate::pdp) fn is_multicast(self) -> bool {
        let least = if self.is_ipv4() { 4 } else { 8 };
        self.address.is_multicast() && self.prefix >= least
    }

    /// Whether all addresses of this one are addresses of the other.
    pub(in crate::pdp) fn is_in(self, other: Self) -> bool {
        if self.is_ipv4() != other.is_ipv4() || self.prefix < other.prefix {
            return false;
        }
        let width = u32::from(Self::bits(other.address));
        let network = |address: IpAddr| {
            let number = match address {
                IpAddr::V4(four) => u128::from(u32::from(four)),
                IpAddr::V6(six) => u128::from(six),
            };
            number
                .checked_shr(width - u32::from(other.prefix))
                .unwrap_or(0)
        };
        network(self.address) == network(other.address)
    }
}

/// A range that single addresses are looked for in, its bits taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Range {
    V4 { mask: u32, network: u32 },
    V6 { mask: u128, network: u128 },
}

impl Range {
    pub(super) fn of(network: Network) -> Self {
        let unused = |width: u8| u32::from(width.saturating_sub(network.prefix));
        match network.address {
            IpAddr::V4(four) => {
                let mask = u32::MAX.checked_shl(unused(32)).unwrap_or(0);
                let network = u32::from(four) & mask;
                Self::V4 { mask, network }
            }
            IpAddr::V6(six) => {
                let mask = u128::MAX.checked_shl(unused(128)).unwrap_or(0);
                let network = u128::from(six) & mask;
                Self::V6 { mask, network }
            }
        }
    }

    /// Whether an address is in it: [`Network::is_in`] for a single one.
    pub(super) fn holds(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4 { mask, network }, IpAddr::V4(four)) => u32::from(four) & mask == network,
            (Self::V6 { mask, network }, IpAddr::V6(six)) => u128::from(six) & mask == network,
            (Self::V4 { .. }, IpAddr::V6(_)) | (Self::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }
}
