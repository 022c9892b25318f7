//! What gRPC puts around HTTP: which requests are its calls, and how the end of one is told (gRPC over HTTP/2,
//! "Responses"; gRPC-Web).

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The media type of calls, which goes on with `+` and how messages are written.
const MEDIA_TYPE: &str = "application/grpc";

/// So many bytes a message has at most, as it is written. Clients take heads of 8 KiB as a rule, and this is there
/// twice.
const LONGEST_MESSAGE: usize = 1024;

/// What stands for the rest of a longer one.
const AND_SO_ON: &str = "...";

/// A call of gRPC, by how its client learns of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcCall {
    /// From the head alone: browsers show clients no trailers, and over HTTP/1 there is no such thing as gRPC.
    Head,
    /// From the head, and from the trailers behind a body.
    Trailers,
}

impl GrpcCall {
    /// What a request is, if it is a call.
    #[must_use]
    pub fn of(method: &Method, version: Version, headers: &HeaderMap) -> Option<Self> {
        if *method != Method::POST {
            return None;
        }
        let kind = headers.get(header::CONTENT_TYPE)?.as_bytes();
        let (kind, rest) = kind.split_at_checked(MEDIA_TYPE.len())?;
        if !kind.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()) {
            return None;
        }
        match rest {
            [] | [b'+' | b';' | b' ', ..] if version == Version::HTTP_2 => Some(Self::Trailers),
            [] | [b'+' | b';' | b' ' | b'-', ..] => Some(Self::Head),
            _ => None,
        }
    }
}

/// How a call has ended: a code, and what happened in words.
#[must_use]
pub fn grpc_status(code: u8, message: &str) -> [(HeaderName, HeaderValue); 2] {
    let written = HeaderValue::from_str(&percent_encoded(message));
    // Nothing but printable ASCII is left.
    let written = written.unwrap_or(HeaderValue::from_static(""));
    [
        (GRPC_STATUS, HeaderValue::from(u16::from(code))),
        (GRPC_MESSAGE, written),
    ]
}

/// UTF-8 in printable ASCII (`Percent-Encoded`), and no more of it than may be: a longer one ends behind a whole
/// character.
fn percent_encoded(message: &str) -> String {
    let message = message.trim();
    let mut written = String::with_capacity(message.len().min(LONGEST_MESSAGE));
    // Up to where there is still room for what stands for the rest.
    let mut fits = 0;
    for character in message.chars() {
        match character {
            ' '..='$' | '&'..='~' => written.push(character),
            _ => {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    written.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        if written.len() > LONGEST_MESSAGE {
            written.truncate(fits);
            written.push_str(AND_SO_ON);
            break;
        }
        if written.len() + AND_SO_ON.len() <= LONGEST_MESSAGE {
            fits = written.len();
        }
    }
    written
}
