//! What upstreams send, put to the HTTP/1.1 client: it is read alike in whatever pieces it comes, as hyper reads
//! it, and a connection is used again only where the answer's end was beyond doubt and nothing came behind it.
//!
//! The first byte says how the request went and how many bytes of sizes of pieces follow it; the rest is the
//! answer.

#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use portcullis::upstream::fuzzing::hold;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let method = match first >> 6 {
        0 => Method::HEAD,
        1 => Method::POST,
        _ => Method::GET,
    };
    let sizes = usize::from(first & 15).min(rest.len());
    let (sizes, answer) = rest.split_at(sizes);
    hold(answer, sizes, &method);
});
