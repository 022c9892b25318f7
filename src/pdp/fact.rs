//! The facts that conditions can see: the attributes of `context`.

/// One attribute of `context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    Auth,
    Grant,
    History,
    Http,
    Input,
    Local,
    Now,
    Risk,
    Source,
    Task,
    Usual,
}

impl Fact {
    pub(super) const ALL: [Self; 11] = [
        Self::Auth,
        Self::Grant,
        Self::History,
        Self::Http,
        Self::Input,
        Self::Local,
        Self::Now,
        Self::Risk,
        Self::Source,
        Self::Task,
        Self::Usual,
    ];

    /// The attribute's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Grant => "grant",
            Self::History => "history",
            Self::Http => "http",
            Self::Input => "input",
            Self::Local => "local",
            Self::Now => "now",
            Self::Risk => "risk",
            Self::Source => "source",
            Self::Task => "task",
            Self::Usual => "usual",
        }
    }

    /// The attribute's type in the schema; none for the inputs, whose type each operation declares.
    pub(super) const fn cedar_type(self) -> Option<&'static str> {
        Some(match self {
            Self::Auth => "Auth",
            Self::Grant => "Grant",
            Self::History => "History",
            Self::Http => "Http",
            Self::Input => return None,
            Self::Local => "Local",
            Self::Now => "datetime",
            Self::Risk => "Risk",
            Self::Source => "Source",
            Self::Task => "Task",
            Self::Usual => "Usual",
        })
    }

    /// Whether the attribute may be absent.
    pub(super) const fn optional(self) -> bool {
        matches!(self, Self::Grant | Self::Task)
    }

    /// Whether the attribute exists for calls only.
    pub(super) const fn of_calls_only(self) -> bool {
        matches!(self, Self::Grant | Self::History | Self::Http | Self::Input)
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.name() == name)
    }
}
