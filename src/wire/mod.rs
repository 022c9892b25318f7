//! HTTP shapes that several rooms share: the body type, the problem document, challenges, the header
//! names that may not cross the gateway, and the one reading of a path segment, a form, JSON and GraphQL.
//!
//! Invariant: nothing here decides anything.

mod body;
mod caseless;
mod challenge;
mod form;
mod gather;
mod graphql;
mod grpc;
mod headers;
mod json;
mod outbound;
mod path;
mod peer;
mod problem;
mod url;
mod websocket;

pub use body::{Body, BodyError};
pub use caseless::is_caseless_match;
pub use challenge::{Challenge, DPOP_ALGORITHMS};
pub use form::{FormFault, FormField, FormFields, form_fields, form_value};
pub use gather::poll_write_gathered;
pub use graphql::{ArgumentFault, GraphqlCall, GraphqlFault, GraphqlType, graphql_call};
pub use grpc::{GrpcCall, grpc_status};
pub use headers::{
    CONTROLLED_BY_GATEWAY, connection_listed, is_hop_by_hop, is_identity_look_alike,
    stays_at_gateway,
};
pub use json::{JsonFault, parse_json};
pub use outbound::{Field, Fields, Outbound, Unspeakable};
pub use path::{SegmentError, canonical_segment, decoded, is_plain_path};
pub use peer::Peer;
pub use problem::{PROBLEM_JSON, Problem};
pub use url::normal_url;
pub use websocket::{
    WEBSOCKET, WEBSOCKET_VERSION, is_websocket_key, websocket_accept, websocket_key,
};
