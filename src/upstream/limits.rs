//! How much a pool spends, and how long it waits.

use std::time::Duration;

/// What one worker spends on each address of a service, and how long it waits. A service's own
/// timeouts go before these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// To a connection that is ready to use, over all addresses that are tried.
    pub connect_timeout: Duration,
    /// From the end of the request to the answer's head. It does not run while the client is still
    /// to send more of the request.
    pub response_timeout: Duration,
    /// Between two pieces of an answer's body. `None`: silence is no fault, as with server-sent
    /// events.
    pub body_idle_timeout: Option<Duration>,
    /// How old what a name led to may become before the name is looked up again. No request waits
    /// for that.
    pub resolve_interval: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How many unused connections are kept.
    pub idle_per_upstream: usize,
    /// How many exchanges run at once: over HTTP/1.1 as many connections, over HTTP/2 streams.
    pub connections_per_upstream: usize,
    /// How many more may wait for one of those to end, within `connect_timeout`.
    pub waiting_per_upstream: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            body_idle_timeout: None,
            resolve_interval: Duration::from_secs(30),
            // Shorter than the minute after which many servers close.
            idle_timeout: Duration::from_secs(50),
            idle_per_upstream: 64,
            connections_per_upstream: 1024,
            waiting_per_upstream: 1024,
        }
    }
}
