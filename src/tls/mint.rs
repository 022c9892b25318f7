//! Certificates where there is no authority: for development, for tests, and for agents that prove
//! themselves with one.
//!
//! The development authority can only speak for this machine: its name constraints make a stolen
//! `ca.key` worthless for any other host.

#[cfg(test)]
mod tests;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
    date_time_ymd,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::ServerName;

use super::TlsError;
use super::credentials::{Contents, Credentials, provider, unix_time};
use super::x509::{Certificate, attributes};
use crate::base::{Clock, Readers, random_id, write_whole};

/// How long an authority is good.
const CA_LIFE: Duration = Duration::from_hours(10 * 365 * 24);

/// How long a certificate is good.
const LEAF_LIFE: Duration = Duration::from_hours(90 * 24);

/// What ends within this is made anew.
const SOON: Duration = Duration::from_hours(24);

/// How far back a new certificate is valid, for clocks that are behind.
const BACKDATE: Duration = Duration::from_hours(1);

/// The names that the development gateway answers to.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The organisation in the names of what is minted here.
const ORGANISATION: &str = "Portcullis";

/// The last second of the year 9999, the last that a certificate can name.
const END_OF_TIME: u64 = 253_402_300_799;

/// A certificate and its private key, in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key, readable by its owner only.
    pub key: PathBuf,
}

impl Pair {
    /// `<name>.pem` and `<name>.key` in `directory`.
    #[must_use]
    pub fn named(directory: &Path, name: &str) -> Self {
        Self {
            certificate: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        }
    }
}

/// What `development_identity` makes or finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevelopmentIdentity {
    /// The authority that clients trust.
    pub ca: Pair,
    /// The gateway's own.
    pub gateway: Pair,
}

/// Makes sure that `directory` has an authority and a certificate for this machine, both good for at
/// least a day. What is good is kept, so that clients which trust the authority go on doing so.
///
/// # Errors
///
/// When the directory can't be written, half of a pair is missing, a file is broken, or the
/// certificate there comes from somebody else.
pub fn development_identity(
    directory: &Path,
    clock: &Clock,
) -> Result<DevelopmentIdentity, TlsError> {
    fs::create_dir_all(directory).map_err(|source| file_error(directory, source))?;
    let ca = Pair::named(directory, "ca");
    let gateway = Pair::named(directory, "gateway");
    // Both looked at before either is written: a problem with one leaves the other alone.
    let (ca_now, gateway_now) = (read(&ca, clock)?, read(&gateway, clock)?);
    if ca_now.as_ref().is_some_and(|ca_now| !ca_now.leaf.is_ca) {
        return Err(TlsError::NotAnAuthority(ca.certificate));
    }
    let usable = gateway_now.is_some()
        && ca_now.is_some()
        && serves(&gateway, &ca, &NAMES, soon(clock)).is_ok();
    if !usable && gateway_now.is_some_and(|now| !is_ours(&now.leaf.issuer)) {
        return Err(TlsError::Foreign {
            certificate: gateway.certificate,
            ca: ca.certificate,
        });
    }
    if ca_now.is_none() {
        make_authority(&ca, clock)?;
    }
    if !usable {
        issue_server_certificate(&ca, &gateway, &NAMES, clock)?;
    }
    Ok(DevelopmentIdentity { ca, gateway })
}

/// Issues a certificate for a server with `names`, host names or addresses, good for 90 days, and
/// writes it to `target`.
///
/// # Errors
///
/// When a file can't be used, or `ca` may not issue for these names.
pub fn issue_server_certificate(
    ca: &Pair,
    target: &Pair,
    names: &[&str],
    clock: &Clock,
) -> Result<(), TlsError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let common_name = names.first().map_or("", String::as_str).to_owned();
    let mut params = CertificateParams::new(names.clone()).map_err(mint_error)?;
    describe(&mut params, &common_name, LEAF_LIFE, clock);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(ca, target, &params, clock, |issued| {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        serves_der(&issued.into(), ca, &names, clock.wall())
    })
}

/// Issues a certificate for a client called `name`, with `uris` such as a SPIFFE id, good for 90 days,
/// and writes it to `target`.
///
/// # Errors
///
/// When a file can't be used.
pub fn issue_client_certificate(
    ca: &Pair,
    target: &Pair,
    name: &str,
    uris: &[&str],
    clock: &Clock,
) -> Result<(), TlsError> {
    let mut params = CertificateParams::default();
    describe(&mut params, name, LEAF_LIFE, clock);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for uri in uris {
        let uri = (*uri).try_into().map_err(mint_error)?;
        params.subject_alt_names.push(SanType::URI(uri));
    }
    issue(ca, target, &params, clock, |_| Ok(()))
}

/// The pair if it is there and good for another day; `None` if it has to be made.
fn read(pair: &Pair, clock: &Clock) -> Result<Option<Credentials>, TlsError> {
    let there = |path: &Path| path.try_exists().map_err(|source| file_error(path, source));
    let half = |present: &Path, absent: &Path| TlsError::HalfPair {
        present: present.to_owned(),
        absent: absent.to_owned(),
    };
    match (there(&pair.certificate)?, there(&pair.key)?) {
        (false, false) => return Ok(None),
        (true, false) => return Err(half(&pair.certificate, &pair.key)),
        (false, true) => return Err(half(&pair.key, &pair.certificate)),
        (true, true) => {}
    }
    let (chain, key) = (
        Contents::read(&pair.certificate)?,
        Contents::read(&pair.key)?,
    );
    match Credentials::check(&chain, &key, soon(clock)) {
        Ok(credentials) => Ok(Some(credentials)),
        Err(TlsError::Expired { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

fn make_authority(ca: &Pair, clock: &Clock) -> Result<(), TlsError> {
    let mut params = CertificateParams::default();
    // Its own name each time: a trust store may hold several, and tells them apart by it.
    let name = format!("{ORGANISATION} development {}", random_id("ca"));
    describe(&mut params, &name, CA_LIFE, clock);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(Ipv4Addr::LOCALHOST.into(), 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                Ipv6Addr::LOCALHOST.into(),
                128,
            )),
        ],
        excluded_subtrees: Vec::new(),
    });
    let key = KeyPair::generate().map_err(mint_error)?;
    let certificate = params.self_signed(&key).map_err(mint_error)?;
    write(ca, &certificate.pem(), &key)
}

/// Issues from `ca`, asks `accept` about the result, and only then writes it.
fn issue(
    ca: &Pair,
    target: &Pair,
    params: &CertificateParams,
    clock: &Clock,
    accept: impl FnOnce(Vec<u8>) -> Result<(), TlsError>,
) -> Result<(), TlsError> {
    let (chain, key) = (Contents::read(&ca.certificate)?, Contents::read(&ca.key)?);
    let authority = Credentials::check(&chain, &key, clock.wall())?.leaf;
    let foreign = || TlsError::NotAnAuthority(ca.certificate.clone());
    let ca_key = KeyPair::try_from(&key.key()?).map_err(|error| TlsError::Key {
        path: ca.key.clone(),
        source: error.into(),
    })?;
    let ca_params = name_of(&authority).ok_or_else(foreign)?;
    let key = KeyPair::generate().map_err(mint_error)?;
    let issuer = Issuer::from_params(&ca_params, ca_key);
    let certificate = params.signed_by(&key, &issuer).map_err(mint_error)?;
    // The issuer's name was rebuilt from what we understand of it; verifiers compare it byte by byte.
    let issued = Certificate::parse(certificate.der()).ok_or_else(foreign)?;
    if !authority.is_ca || issued.issuer != authority.subject {
        return Err(foreign());
    }
    accept(certificate.der().to_vec())?;
    write(target, &certificate.pem(), &key)
}

/// What every certificate from here has in common.
fn describe(params: &mut CertificateParams, name: &str, life: Duration, clock: &Clock) {
    let now = u64::try_from(clock.wall().as_second()).unwrap_or(0);
    let at = |second: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(second.min(END_OF_TIME));
    params.not_before = at(now.saturating_sub(BACKDATE.as_secs()));
    params.not_after = at(now.saturating_add(life.as_secs()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, ORGANISATION);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Strict verifiers, such as Python's, want it in everything that is not self-signed.
    params.use_authority_key_identifier_extension = true;
}

/// The name of an authority, as far as it is made of what we use ourselves.
fn name_of(authority: &Certificate) -> Option<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for attribute in attributes(&authority.subject)?.into_iter().flatten() {
        let kind = match attribute.short_name()? {
            "CN" => DnType::CommonName,
            "O" => DnType::OrganizationName,
            _ => return None,
        };
        params.distinguished_name.push(kind, attribute.text()?);
    }
    Some(params)
}

/// Whether a name is that of an authority that was made here.
fn is_ours(name: &[u8]) -> bool {
    let Some(sets) = attributes(name) else {
        return false;
    };
    let mut attributes = sets.iter().flatten();
    attributes.any(|one| one.short_name() == Some("O") && one.text() == Some(ORGANISATION))
}

fn serves(pair: &Pair, ca: &Pair, names: &[&str], now: Timestamp) -> Result<(), TlsError> {
    let chain = Contents::read(&pair.certificate)?.certificates()?;
    match chain.first() {
        Some(leaf) => serves_der(leaf, ca, names, now),
        None => Err(TlsError::NoCertificate(pair.certificate.clone())),
    }
}

/// Checks as a client does that a certificate of `ca` proves all of `names`.
fn serves_der(
    leaf: &rustls::pki_types::CertificateDer<'_>,
    ca: &Pair,
    names: &[&str],
    now: Timestamp,
) -> Result<(), TlsError> {
    let roots = Contents::read(&ca.certificate)?.roots()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
        .build()
        .map_err(|error| TlsError::Setup(error.into()))?;
    for name in names {
        let parsed = ServerName::try_from(*name);
        let parsed = parsed.map_err(|_| TlsError::ServerName((*name).to_owned()))?;
        verifier
            .verify_server_cert(leaf, &[], &parsed, &[], unix_time(now))
            .map_err(|error| TlsError::Mint(error.into()))?;
    }
    Ok(())
}

/// The key first: a certificate never stands there without it.
fn write(pair: &Pair, certificate: &str, key: &KeyPair) -> Result<(), TlsError> {
    let put = |path: &Path, text: &str, readers| {
        write_whole(path, text.as_bytes(), readers).map_err(|source| file_error(path, source))
    };
    put(&pair.key, &key.serialize_pem(), Readers::OwnerOnly)?;
    put(&pair.certificate, certificate, Readers::Everyone)
}

fn soon(clock: &Clock) -> Timestamp {
    clock.wall().saturating_add(SOON).unwrap_or(Timestamp::MAX)
}

fn file_error(path: &Path, source: std::io::Error) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        source,
    }
}

fn mint_error(error: rcgen::Error) -> TlsError {
    TlsError::Mint(error.into())
}
