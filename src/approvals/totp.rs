//! The second factor: one-time codes by time (RFC 6238), as authenticator apps make them: SHA-1, six
//! digits, thirty seconds.

#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::hmac;
use jiff::Timestamp;

use crate::base::{Secret, random_bytes};

/// The length of a time step, in seconds.
const STEP: i64 = 30;

/// Codes of so many steps before and after this one are good too (RFC 6238 §5.2).
const SKEW: u64 = 1;

/// The bytes of a secret: the length of SHA-1's output (RFC 4226 §4).
const LENGTH: usize = 20;

/// The alphabet of RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What a person's app and we share.
#[derive(Clone)]
pub struct TotpSecret([u8; LENGTH]);

impl TotpSecret {
    /// A secret that nobody has had.
    #[must_use]
    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// Reads the form that [`TotpSecret::to_base32`] writes.
    #[must_use]
    pub fn from_base32(text: &str) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        let mut slots = bytes.iter_mut();
        let (mut held, mut bits) = (0_u32, 0_u32);
        for digit in text.bytes() {
            let value = BASE32.iter().position(|one| *one == digit)?;
            held = held << 5 | u32::try_from(value).ok()?;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                *slots.next()? = u8::try_from(held >> bits & 0xff).ok()?;
                held &= (1 << bits) - 1;
            }
        }
        (slots.next().is_none() && held == 0).then_some(Self(bytes))
    }

    /// The form that people type into their app.
    #[must_use]
    pub fn to_base32(&self) -> Secret<String> {
        let mut text = String::with_capacity(LENGTH.div_ceil(5) * 8);
        let (mut held, mut bits) = (0_u32, 0_u32);
        for byte in self.0 {
            held = held << 8 | u32::from(byte);
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                let digit = usize::try_from(held >> bits & 31).unwrap_or(0);
                text.extend(BASE32.get(digit).map(|digit| char::from(*digit)));
                held &= (1 << bits) - 1;
            }
        }
        // Twenty bytes are thirty-two digits: no bits are left over and no padding is needed.
        Secret::new(text)
    }

    /// The time step whose code this is, if it is that of one near `now`.
    #[must_use]
    pub fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        if code.len() != 6 || !code.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let code: u32 = code.parse().ok()?;
        let here = u64::try_from(now.as_second() / STEP).ok()?;
        let near = here.saturating_sub(SKEW)..=here.saturating_add(SKEW);
        near.rev().find(|step| self.code(*step) == code)
    }

    /// The six digits of a time step, as a number (RFC 4226 §5.3).
    fn code(&self, step: u64) -> u32 {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or(0) & 0x0f);
        let four = tag.iter().skip(offset).take(4);
        let number = four.fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        (number & 0x7fff_ffff) % 1_000_000
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret([redacted])")
    }
}

/// The address that an app reads the secret from, as text or as a picture of it.
#[must_use]
pub fn otpauth_url(secret: &TotpSecret, issuer: &str, account: &str) -> Secret<String> {
    let (issuer, account) = (encode(issuer), encode(account));
    let secret = secret.to_base32();
    let secret = secret.expose();
    Secret::new(format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}\
         &algorithm=SHA1&digits=6&period={STEP}"
    ))
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
