//! Delivery: one POST after the other, with patience.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::payload;
use super::signature::sign;
use crate::base::{Clock, ErrorChain, Secret};
use crate::grants::{Grants, Happened, Heard, Listener};
use crate::tls::{ClientFiles, Connector, TlsError};

/// How long the receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often one notification is tried …
const TRIES: u32 = 8;

/// … and the pause after the first try; each is twice the one before, up to a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The form of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Everything, for programs.
    Json,
    /// A line of text, as Slack and its likes take it.
    Slack,
}

/// Who is notified.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where.
    pub url: Uri,
    /// What signs it.
    pub secret: Secret<Vec<u8>>,
    /// In which form.
    pub form: Form,
}

/// Why something was not delivered.
#[derive(Debug, Error)]
pub enum NotifyError {
    /// The connection failed.
    #[error("can't connect to the webhook")]
    Connect(#[source] io::Error),
    /// What came is not HTTP.
    #[error("the webhook's answer broke off")]
    Http(#[from] hyper::Error),
    /// The receiver does not want it, and asking again would not change that. Redirects are among these.
    #[error("the webhook answers {0}")]
    Refused(StatusCode),
    /// It took too long.
    #[error("the webhook took more than {PATIENCE:?}")]
    Timeout,
    /// TLS failed.
    #[error("can't speak TLS with the webhook")]
    Tls(#[from] TlsError),
    /// The receiver can't take it now.
    #[error("the webhook can't take it at this moment: {0}")]
    Unavailable(StatusCode),
    /// Nothing is posted there.
    #[error("the webhook's URL is neither https nor on this machine")]
    Url,
}

/// Follows what happens and delivers it.
pub struct Notifier {
    receiver: Receiver,
    clock: Clock,
    control_url: String,
    events: Listener,
}

impl Notifier {
    /// Notifies `receiver` of what happens to the requests of `grants` from now on.
    ///
    /// # Errors
    ///
    /// When nothing can be posted to the URL.
    pub fn new(
        receiver: Receiver,
        grants: &Grants,
        clock: Clock,
        control_url: String,
    ) -> Result<Self, NotifyError> {
        check_url(&receiver.url)?;
        Ok(Self {
            receiver,
            clock,
            control_url,
            events: grants.events(),
        })
    }

    /// Delivers, for as long as it is polled. What comes while one notification is tried again waits; what
    /// is too far behind is dropped.
    pub async fn run(mut self) {
        while let Some(heard) = self.events.next().await {
            match heard {
                Heard::Event(happened) => self.deliver(&happened).await,
                Heard::Gap => warn!("notifications are dropped: the webhook is too slow"),
            }
        }
    }

    async fn deliver(&self, happened: &Happened) {
        let Happened { at, event, .. } = happened;
        let body = match self.receiver.form {
            Form::Json => payload::json(event, *at, &self.control_url),
            Form::Slack => payload::slack(event),
        };
        let Some(body) = body.map(|body| Bytes::from(body.to_string())) else {
            return;
        };
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let error = match timeout(PATIENCE, self.post(body.clone())).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(_) => NotifyError::Timeout,
            };
            let last = attempt == TRIES || matches!(error, NotifyError::Refused(_));
            let error = ErrorChain(&error).to_string();
            if last {
                warn!(
                    event = event.name(),
                    attempt, error, "a notification is dropped"
                );
                return;
            }
            debug!(
                event = event.name(),
                attempt, error, "a notification is tried again"
            );
            self.clock.sleep_until(self.clock.now() + pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), NotifyError> {
        let url = &self.receiver.url;
        let host = url.host().ok_or(NotifyError::Url)?;
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let secure = url.scheme() == Some(&Scheme::HTTPS);
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let socket = TcpStream::connect((name, port)).await;
        let socket = socket.map_err(NotifyError::Connect)?;
        let signature = sign(&self.receiver.secret, self.clock.wall(), &body);
        let request = request(url, &signature, body).ok_or(NotifyError::Url)?;
        let status = if secure {
            let files = ClientFiles::default();
            let connector = Connector::open(&files, false, self.clock.clone())?;
            exchange(connector.connect(name, socket).await?, request).await?
        } else {
            exchange(socket, request).await?
        };
        match status {
            status if status.is_success() => Ok(()),
            status
                if status.is_server_error()
                    || status == StatusCode::TOO_MANY_REQUESTS
                    || status == StatusCode::REQUEST_TIMEOUT =>
            {
                Err(NotifyError::Unavailable(status))
            }
            status => Err(NotifyError::Refused(status)),
        }
    }
}

fn check_url(url: &Uri) -> Result<(), NotifyError> {
    let host = url.host().ok_or(NotifyError::Url)?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let known =
        url.scheme() == Some(&Scheme::HTTPS) || (local && url.scheme() == Some(&Scheme::HTTP));
    known.then_some(()).ok_or(NotifyError::Url)
}

fn request(url: &Uri, signature: &str, body: Bytes) -> Option<Request<Full<Bytes>>> {
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    Request::post(target)
        .header(header::HOST, url.authority()?.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::USER_AGENT,
            concat!("portcullis/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::CONNECTION, "close")
        .header("portcullis-signature", signature)
        .body(Full::new(body))
        .ok()
}

/// The status of the answer; its body is of no interest.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, NotifyError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender.
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    driver.abort();
    Ok(response?.status())
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("url", &self.receiver.url)
            .finish_non_exhaustive()
    }
}
