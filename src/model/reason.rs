//! Why something was denied, and why something ended: one table each, read in both directions.

#[cfg(test)]
mod tests;

/// An enum and its codes from one table, so that what is written can always be read back.
macro_rules! codes {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every one, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code that programs see.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// Reads a code back.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == code)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use codes;

codes! {
    /// Why a request was refused.
    DenyReason {
        /// A rule asks for a person's approval.
        ApprovalRequired = "approval_required",
        /// The decision could not be recorded.
        AuditUnavailable = "audit_unavailable",
        /// No live grant that covers the call has budget left.
        BudgetExhausted = "budget_exhausted",
        /// The rules say no, or could not be evaluated.
        ConditionDenied = "condition_denied",
        /// No live grant covers the call, and one can be asked for.
        GrantRequired = "grant_required",
        /// A declared input is missing or malformed.
        InputInvalid = "input_invalid",
        /// A rule asks for a second factor.
        MfaRequired = "mfa_required",
        /// Nothing that the agent may ask for covers the call.
        NotEntitled = "not_entitled",
        /// No operation answers to the method and path.
        OperationUnknown = "operation_unknown",
        /// The gateway is at a limit of its own.
        Overloaded = "overloaded",
        /// The path can be read in two ways.
        PathAmbiguous = "path_ambiguous",
        /// The proof of possession is wrong.
        ProofInvalid = "proof_invalid",
        /// A proof of possession is needed.
        ProofRequired = "proof_required",
        /// The client is at a limit.
        RateLimited = "rate_limited",
        /// The request can be read in two ways, or in none.
        RequestMalformed = "request_malformed",
        /// What the gateway knows is too old to decide on.
        Stale = "stale",
        /// The token's task is over, unknown or another agent's.
        TaskEnded = "task_ended",
        /// The client took too long.
        Timeout = "timeout",
        /// The token's time is over.
        TokenExpired = "token_expired",
        /// The token is not to be believed.
        TokenInvalid = "token_invalid",
        /// There is no token.
        TokenMissing = "token_missing",
        /// A part of the request is larger than its limit.
        TooLarge = "too_large",
        /// The upstream took too long.
        UpstreamTimeout = "upstream_timeout",
        /// The upstream can't be reached, or broke off.
        UpstreamUnreachable = "upstream_unreachable",
    }
}

impl DenyReason {
    /// Whether it tells of what the agent tried, rather than of the clock, the gateway or the service.
    #[must_use]
    pub const fn tells_of_agent(self) -> bool {
        match self {
            Self::ApprovalRequired
            | Self::BudgetExhausted
            | Self::ConditionDenied
            | Self::GrantRequired
            | Self::InputInvalid
            | Self::MfaRequired
            | Self::NotEntitled
            | Self::OperationUnknown
            | Self::PathAmbiguous
            | Self::ProofInvalid
            | Self::ProofRequired
            | Self::RequestMalformed
            | Self::TokenInvalid
            | Self::TokenMissing
            | Self::TooLarge => true,
            Self::AuditUnavailable
            | Self::Overloaded
            | Self::RateLimited
            | Self::Stale
            | Self::TaskEnded
            | Self::Timeout
            | Self::TokenExpired
            | Self::UpstreamTimeout
            | Self::UpstreamUnreachable => false,
        }
    }
}

codes! {
    /// Why a grant or a task is over.
    EndReason {
        /// The agent was revoked, with all that it had.
        AgentRevoked = "agent_revoked",
        /// The task was given up by its agent or opener.
        Cancelled = "cancelled",
        /// The task was done.
        Completed = "completed",
        /// A condition turned false, and its rule says that this ends a grant.
        ConditionChanged = "condition_changed",
        /// An approver said no.
        Declined = "declined",
        /// The budget was used up.
        Exhausted = "exhausted",
        /// The term, or the time to approve, was over.
        Expired = "expired",
        /// The task did not succeed.
        Failed = "failed",
        /// The task showed no sign of life for the length of its lease.
        LeaseLapsed = "lease_lapsed",
        /// The task above, or the grant above, is over.
        ParentEnded = "parent_ended",
        /// A new policy generation no longer knows what it was for.
        PolicyChanged = "policy_changed",
        /// An operator or the agent took it back.
        Revoked = "revoked",
        /// The task reached its maximum age.
        TaskMaxAge = "task_max_age",
        /// The agent no longer wants what it asked for.
        Withdrawn = "withdrawn",
    }
}
