//! What a token costs that nobody has seen before, and what of it the signature alone costs.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::Criterion;
use portcullis::base::Clock;
use portcullis::tokens::{Algorithm, Authority, Issue};
use tempfile::TempDir;

use crate::processor::Processor;

const GATE: &str = "https://gate.example";

/// An authority with a key of its own.
pub(crate) fn authority(directory: &TempDir) -> Authority {
    let issuer = "https://issuer.example".to_owned();
    let clock = Clock::system();
    Authority::open(directory.path(), issuer, Algorithm::Es256, clock).unwrap()
}

/// A token as the gate issues it.
pub(crate) fn token(authority: &Authority) -> String {
    let issued = authority.issue(&Issue {
        subject: "bench-bot".to_owned(),
        audience: vec![GATE.to_owned()],
        client_id: "bench-bot".to_owned(),
        ttl: Duration::from_secs(3600),
        scope: None,
        task: Some("tsk_9h6dh8a2s8cd9esv21p5vztwmp".to_owned()),
        confirmation: None,
        authorization_details: None,
        methods: vec!["private_key_jwt"],
        class: None,
    });
    issued.unwrap().token.expose().to_owned()
}

pub(crate) fn cold_token(criterion: &mut Criterion<Processor>) {
    let directory = TempDir::new().unwrap();
    let authority = authority(&directory);
    let token = token(&authority);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let keys = authority.jwks();
    let member = |name: &str| decode(keys.pointer(name).unwrap().as_str().unwrap());
    let point = [&[4][..], &member("/keys/0/x"), &member("/keys/0/y")].concat();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).unwrap();
    let signature = decode(signature);

    let mut group = criterion.benchmark_group("cold_token");
    group.bench_function("signature_alone", |bencher| {
        bencher.iter(|| {
            let message = black_box(message.as_bytes());
            key.verify_sig(message, black_box(&signature)).unwrap();
        });
    });
    group.bench_function("verified", |bencher| {
        bencher.iter(|| authority.verify(black_box(&token), &[GATE]).unwrap());
    });
    group.finish();
}
