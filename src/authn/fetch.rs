//! One bounded GET of a key set. The URL comes from the configuration alone, no redirect is followed,
//! and the answer is bounded in size and time.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::base::{Clock, open_file};
use crate::tls::{ClientFiles, Connector, TlsError};
use crate::tokens::KeyError;

/// The largest key set.
const LARGEST: usize = 256 * 1024;

/// From the first packet to the last.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no new key set.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The connection failed.
    #[error("can't connect to `{0}`")]
    Connect(String, #[source] io::Error),
    /// What came is not HTTP, or not whole.
    #[error("the answer broke off")]
    Http(#[from] hyper::Error),
    /// What came is no key set.
    #[error("it is no key set")]
    Keys(#[from] KeyError),
    /// The file can't be read.
    #[error("can't read `{0}`")]
    Read(PathBuf, #[source] io::Error),
    /// Another status than 200. Redirects are among them.
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    /// It took too long.
    #[error("it took more than {PATIENCE:?}")]
    Timeout,
    /// TLS failed.
    #[error("can't speak TLS")]
    Tls(#[from] TlsError),
    /// It is larger than any key set.
    #[error("it is larger than {LARGEST} bytes, or its body broke off")]
    TooLarge,
    /// The URL is not one that keys are fetched from.
    #[error("`{0}` is neither https nor on this machine")]
    Url(Uri),
}

/// Reads a key set from a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    let failed = |error| FetchError::Read(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = open_file(path).map_err(failed)?;
    // One byte more than fits, so that a larger file is seen to be one.
    let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > LARGEST {
        return Err(FetchError::TooLarge);
    }
    Ok(bytes)
}

/// Gets a key set over HTTPS.
pub(super) async fn fetch(
    url: &Uri,
    ca: Option<PathBuf>,
    clock: Clock,
) -> Result<Vec<u8>, FetchError> {
    let fetched = timeout(PATIENCE, get(url, ca, clock)).await;
    fetched.map_err(|_| FetchError::Timeout)?
}

async fn get(url: &Uri, ca: Option<PathBuf>, clock: Clock) -> Result<Vec<u8>, FetchError> {
    let refused = || FetchError::Url(url.clone());
    let host = url.host().ok_or_else(refused)?;
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let secure = url.scheme() == Some(&Scheme::HTTPS);
    let local = matches!(name, "localhost" | "127.0.0.1" | "::1");
    let harmless = local && url.scheme() == Some(&Scheme::HTTP);
    if !(secure || harmless) {
        return Err(refused());
    }
    let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let connected = TcpStream::connect((name, port)).await;
    let socket = connected.map_err(|error| FetchError::Connect(url.to_string(), error))?;
    if secure {
        let files = ClientFiles { ca, client: None };
        let connector = Connector::open(&files, false, clock)?;
        exchange(connector.connect(name, socket).await?, url).await
    } else {
        exchange(socket, url).await
    }
}

async fn exchange<S>(stream: S, url: &Uri) -> Result<Vec<u8>, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refused = || FetchError::Url(url.clone());
    let target = url.path_and_query().ok_or_else(refused)?.as_str();
    let authority = url.authority().ok_or_else(refused)?.as_str();
    let request = Request::get(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|_| refused())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender, or with the answer.
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|_| FetchError::TooLarge)?.to_bytes();
    driver.abort();
    Ok(body.to_vec())
}
