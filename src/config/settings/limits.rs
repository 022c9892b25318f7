//! `[limits]`: one table of names, defaults and meanings.

use std::time::Duration;

use super::keys::Key;
use crate::config::diagnostics::Diagnostics;
use crate::config::fields::Fields;
use crate::config::text::At;
use crate::config::units;

macro_rules! limits {
    ($(#[doc = $about:literal] $name:ident: $kind:ident = $value:expr, $text:literal;)+) => {
        /// How much of everything the gateway takes on.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = $about] pub $name: $kind,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $value,)+ }
            }
        }

        /// The keys of `[limits]`.
        pub(super) const LIMITS: &[Key] = &[
            $(Key::scalar(concat!("limits.", stringify!($name)), $text, $about),)+
        ];

        impl Limits {
            /// Reads what is there; the rest keeps its default.
            pub(super) fn read(mut fields: Fields<'_, '_>) -> Self {
                let mut limits = Self::default();
                $(
                    let key = stringify!($name);
                    if let Some(text) = fields.scalar(key) {
                        limits.$name = $kind::read(key, &text, fields.problems())
                            .unwrap_or(limits.$name);
                    }
                )+
                limits.check_leases(&mut fields);
                limits.check_habits(&mut fields);
                fields.finish();
                limits
            }
        }
    };
}

limits! {
    #[doc = "The longest head of a request."]
    header_bytes: u64 = 64 << 10, "64KiB";
    #[doc = "The most header lines of a request."]
    header_count: usize = 100, "100";
    #[doc = "The longest target of a request."]
    uri_bytes: u64 = 8 << 10, "8KiB";
    #[doc = "From the first byte of a request to the end of its head."]
    header_timeout: Duration = Duration::from_secs(10), "10s";
    #[doc = "The longest pause in a request's body."]
    body_idle_timeout: Duration = Duration::from_secs(30), "30s";
    #[doc = "The longest time that a client may take to send a whole request."]
    request_timeout: Duration = Duration::from_hours(1), "1h";
    #[doc = "To a connection to an upstream that is ready to use."]
    connect_timeout: Duration = Duration::from_secs(5), "5s";
    #[doc = "How old the addresses of an upstream's name may become before it is looked up again."]
    dns_refresh: Duration = Duration::from_secs(30), "30s";
    #[doc = "From the end of a request to the head of the upstream's response."]
    response_timeout: Duration = Duration::from_secs(60), "60s";
    #[doc = "The longest silence of a connection, a response's body or a stream."]
    idle_timeout: Duration = Duration::from_mins(5), "5m";
    #[doc = "How long what runs may go on after SIGTERM."]
    drain: Duration = Duration::from_secs(30), "30s";
    #[doc = "The most connections at once."]
    connections: usize = 10_000, "10000";
    #[doc = "The most connections at once from one address."]
    connections_per_source: usize = 1000, "1000";
    #[doc = "The most requests at once on one HTTP/2 connection."]
    streams_per_connection: usize = 100, "100";
    #[doc = "The bad tokens that one address may send in a second, once five seconds' worth is used up."]
    bad_tokens_per_source: usize = 100, "100";
    #[doc = "The longest body that inputs are read from."]
    body_peek_bytes: u64 = 64 << 10, "64KiB";
    #[doc = "How long a task lives without a sign of life, where its opener does not say."]
    lease: Duration = Duration::from_secs(60), "60s";
    #[doc = "The longest lease that a task's opener may ask for."]
    lease_max: Duration = Duration::from_hours(1), "1h";
    #[doc = "How long a task lives at most."]
    task_max_age: Duration = Duration::from_hours(8), "8h";
    #[doc = "On how many different days (UTC) a network, an hour of the week or an operation has to be seen until it is usual for an agent; 2 to 30."]
    usual_days: usize = 3, "3";
    #[doc = "How many networks, how many hours, how many operations and how many magnitudes of inputs can become usual for an agent in one day; at most 168."]
    usual_new_per_day: usize = 8, "8";
    #[doc = "The risk, 1 to 100, from which on nothing is learnt of an agent."]
    usual_frozen_at: usize = 70, "70";
}

impl Limits {
    fn check_leases(&mut self, fields: &mut Fields<'_, '_>) {
        if self.lease > self.lease_max {
            let place = fields.place().clone();
            let problems = fields.problems();
            problems.error(&place, "`lease` is longer than `lease_max`");
        }
    }

    fn check_habits(&self, fields: &mut Fields<'_, '_>) {
        let place = fields.place().clone();
        let bounds = [
            ("usual_days", self.usual_days, 2..=30),
            ("usual_new_per_day", self.usual_new_per_day, 1..=168),
            ("usual_frozen_at", self.usual_frozen_at, 1..=100),
        ];
        for (key, value, bounds) in bounds {
            if !bounds.contains(&value) {
                let (least, most) = (bounds.start(), bounds.end());
                let message = format!("`{key}` is a number from {least} to {most}");
                fields.problems().error(&place, message);
            }
        }
    }
}

/// A kind of limit. None may be nothing: a limit of zero is a gateway that serves nobody.
trait Limit: Sized {
    fn parse(text: &str) -> Result<Self, String>;
    fn is_nothing(&self) -> bool;

    fn read(key: &str, text: &At<String>, problems: &mut Diagnostics) -> Option<Self> {
        match Self::parse(&text.value) {
            Ok(value) if value.is_nothing() => {
                problems.error(&text.place, format!("`{key}` can't be nothing"));
                None
            }
            Ok(value) => Some(value),
            Err(message) => {
                problems.error(&text.place, message);
                None
            }
        }
    }
}

impl Limit for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        units::duration(text).map_err(|error| error.to_string())
    }

    fn is_nothing(&self) -> bool {
        self.is_zero()
    }
}

/// A size.
impl Limit for u64 {
    fn parse(text: &str) -> Result<Self, String> {
        units::size(text).map_err(|error| error.to_string())
    }

    fn is_nothing(&self) -> bool {
        *self == 0
    }
}

/// A count.
impl Limit for usize {
    fn parse(text: &str) -> Result<Self, String> {
        let read = text.parse().ok();
        read.filter(|count| u32::try_from(*count).is_ok())
            .ok_or_else(|| format!("`{text}` is not a whole number that can be counted to"))
    }

    fn is_nothing(&self) -> bool {
        *self == 0
    }
}
