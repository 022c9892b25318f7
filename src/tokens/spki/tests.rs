use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use serde_json::json;

use super::*;
use crate::tokens::jws::encode;

#[track_caller]
fn check(jwk: &serde_json::Value, der: &PublicKeyX509Der<'_>) {
    let key = VerifyingKey::from_jwk(jwk).unwrap();
    assert_eq!(subject_public_key_info(key.numbers()), der.as_ref());
    assert_eq!(key.certified_as(), Digest::of(der.as_ref()));
}

/// The signature code's own encoding of the same keys.
#[test]
fn a_key_is_spelt_as_in_a_certificate() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]),
    });
    check(&jwk, &pair.public_key().as_der().unwrap());

    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) });
    check(&jwk, &pair.public_key().as_der().unwrap());

    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let number = |bytes: &[u8]| encode(bytes.strip_prefix(&[0]).unwrap_or(bytes));
    let jwk = json!({
        "kty": "RSA", "alg": "PS256",
        "n": number(pair.public_key().modulus().big_endian_without_leading_zero()),
        "e": number(pair.public_key().exponent().big_endian_without_leading_zero()),
    });
    check(&jwk, &pair.public_key().as_der().unwrap());
}
