//! One request to an endpoint: its parameters, and what the connection and the headers tell.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::error::OAuthError;
use super::form::Form;
use crate::tls;
use crate::wire::Peer;

/// The largest body.
const LARGEST: usize = 64 * 1024;

/// What is read of a body that is too large, so that its sender gets to hear so: most read the answer only
/// when they have sent everything.
const DISCARDED: usize = 16 * 1024 * 1024;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request with a form body.
#[derive(Debug)]
pub(super) struct Call {
    /// The endpoint's path.
    pub(super) path: String,
    pub(super) form: Form,
    pub(super) headers: HeaderMap,
    pub(super) peer: Peer,
    /// The client certificate of the connection.
    pub(super) certificate: Option<Arc<tls::Peer>>,
}

impl Call {
    /// Where it came from.
    pub(super) fn source(&self) -> IpAddr {
        self.peer.address.ip()
    }
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = OAuthError;

    async fn from_request(request: Request, _: &S) -> Result<Self, OAuthError> {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>().copied();
        let peer = peer.ok_or_else(|| OAuthError::server("the connection has no address"))?;
        // RFC 6749 §2.3.1 and §3.2: nothing that counts stands in a URL, where it would be logged.
        if parts.uri.query().is_some() {
            let description = "parameters go into the body, not into the URL";
            return Err(OAuthError::invalid_request(description));
        }
        let body = timeout(PATIENCE, read(body)).await;
        let body = body.map_err(|_| OAuthError::too_slow(PATIENCE))??;
        Ok(Self {
            path: parts.uri.path().to_owned(),
            form: Form::read(&parts.headers, &body)?,
            headers: parts.headers,
            peer,
            certificate: parts.extensions.get::<Arc<tls::Peer>>().cloned(),
        })
    }
}

/// A whole body, if it is not too large.
async fn read(mut body: Body) -> Result<Bytes, OAuthError> {
    let mut kept = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let broken = |_| OAuthError::invalid_request("the body broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        length += data.len();
        if length > DISCARDED {
            break;
        }
        if length <= LARGEST {
            kept.extend_from_slice(&data);
        }
    }
    if length > LARGEST {
        return Err(OAuthError::too_large(LARGEST));
    }
    Ok(kept.freeze())
}
