//! Operations: the named things an agent can do, and the typed inputs of a call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{GroupName, OperationId, ServiceName};

/// One named thing an agent can do on a service; the Cedar action of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name, such as `orders.refund`.
    pub id: OperationId,
    /// The service it belongs to.
    pub service: ServiceName,
    /// The action groups it is a member of, such as `write`.
    pub groups: BTreeSet<GroupName>,
    /// How much harm it can do.
    pub risk: Risk,
    /// Whether an agent without a task and grant may call it, rules permitting.
    pub baseline: bool,
    /// What kind of exchange it is.
    pub protocol: Protocol,
    /// What conditions can see of a call, by name.
    pub inputs: BTreeMap<Arc<str>, Input>,
}

/// How much harm an operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Reads of little value.
    Low,
    /// Reads of value, writes that can be undone.
    Medium,
    /// Money, production, people.
    High,
}

impl Risk {
    /// The word in files and in the Cedar group `risk:<word>`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What kind of exchange an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A gRPC call: HTTP/2 with trailers.
    Grpc,
    /// A request and a response.
    Http,
    /// Server-sent events.
    Sse,
    /// A WebSocket.
    Websocket,
}

/// One declared input: where it is read from and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is read from.
    pub source: InputSource,
    /// What it must be.
    pub kind: InputKind,
}

/// Where an input is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputSource {
    /// A JSON pointer (RFC 6901) into the arguments of the one field that a GraphQL request selects of the root.
    Argument(Arc<str>),
    /// A JSON pointer (RFC 6901) into the request body.
    Body(Arc<str>),
    /// A field of a form in the request body.
    Form(Arc<str>),
    /// What a GraphQL request asks for.
    Graphql(GraphqlPart),
    /// A request header, by lower-case name.
    Header(Arc<str>),
    /// A `{name}` of the route.
    Path(Arc<str>),
    /// A query parameter.
    Query(Arc<str>),
}

/// What can be told of the operation that a GraphQL request selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphqlPart {
    /// The one field that it selects of the root.
    Field,
    /// Its name: the client's word.
    Operation,
    /// `query`, `mutation` or `subscription`.
    Type,
}

impl GraphqlPart {
    /// The word in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Operation => "operation",
            Self::Type => "type",
        }
    }
}

/// The Cedar type of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// `true` or `false`.
    Bool,
    /// A 64-bit signed integer.
    Long,
    /// Text.
    String,
}

impl InputKind {
    /// The word in files and in the Cedar schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::Long => "Long",
            Self::String => "String",
        }
    }
}
