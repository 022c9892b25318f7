//! What goes on beside the requests: certificates are read again, and new generations take effect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::access::Revocations;
use crate::audit::{Audit, Record, RecordKind, Verdict};
use crate::base::{Clock, ErrorChain, Live, Seconds};
use crate::config::{Reloader, Snapshot};
use crate::grants::Grants;
use crate::model::GrantRequest;
use crate::pep::Gate;
use crate::telemetry::Metrics;
use crate::tls::Acceptor;
use crate::tokens::Authority;

/// How often the age of the signing key is looked at.
const KEYS: Duration = Duration::from_mins(10);

/// How often ended revocations are removed.
const REVOCATIONS: Duration = Duration::from_mins(10);

/// How often certificates and keys are read again.
const CERTIFICATES: Duration = Duration::from_secs(5);

/// How often the database of countries is looked at.
const COUNTRIES: Duration = Duration::from_secs(2);

/// How often the files of services are read again.
const UPSTREAM_FILES: Duration = Duration::from_secs(2);

/// Makes a new signing key whenever the one in use has grown old. A key that does not say when it was made
/// was brought by somebody, and is theirs to replace.
pub(super) async fn rotate_keys(
    authority: Arc<Authority>,
    after: Duration,
    audit: Audit,
    clock: Clock,
) {
    loop {
        let age = authority
            .signing_since()
            .and_then(|since| Duration::try_from(clock.wall().duration_since(since)).ok());
        if age.is_some_and(|age| age >= after) {
            rotate_key(&authority, &audit, &clock).await;
        }
        clock.sleep_until(clock.now() + KEYS).await;
    }
}

async fn rotate_key(authority: &Arc<Authority>, audit: &Audit, clock: &Clock) {
    let place = match audit.reserve() {
        Ok(place) => place,
        Err(why) => return error!(%why, "a new signing key can't be recorded, so there is none"),
    };
    let rotating = Arc::clone(authority);
    // Writes a file.
    let Ok(rotated) = spawn_blocking(move || rotating.rotate()).await else {
        return error!("the rotation of the signing key has panicked");
    };
    let mut record = Record::new(RecordKind::Admin, clock.wall());
    record.detail = Some(match &rotated {
        Ok(rotation) => format!("signing key {} takes over from an old one", rotation.kid),
        Err(failure) => format!("no new signing key: {}", ErrorChain(failure)),
    });
    place.write(record);
    match rotated {
        Ok(rotation) => info!(kid = rotation.kid, "a new key signs tokens"),
        Err(failure) => {
            let error = ErrorChain(&failure);
            error!(%error, "the old signing key can't be replaced; it goes on signing");
        }
    }
}

/// Removes the revocations of tokens that have ended since.
pub(super) async fn forget_revocations(revocations: Revocations, clock: Clock) {
    loop {
        clock.sleep_until(clock.now() + REVOCATIONS).await;
        if let Err(error) = revocations.forget_ended(clock.wall()).await {
            let error = ErrorChain(&error);
            warn!(%error, "ended revocations can't be removed; they are tried again");
        }
    }
}

/// Lets scores end, and tells of it, within a second.
pub(super) async fn lapse_scores(grants: Grants, clock: Clock) {
    let mut seconds = Seconds::new(clock);
    loop {
        seconds.next().await;
        grants.signals().lapse();
    }
}

/// Looks at the database of countries again and again.
pub(super) async fn refresh_countries(grants: Grants, clock: Clock) {
    loop {
        clock.sleep_until(clock.now() + COUNTRIES).await;
        let looking = grants.clone();
        // A large file, on a disk that may make us wait.
        let looked = spawn_blocking(move || looking.signals().refresh_countries());
        match looked.await {
            Ok(Ok(true)) => info!("a new country database is live"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                let error = ErrorChain(&error);
                warn!(%error, "the country database can't be used; the last good one stays");
            }
            Err(_) => error!("the look at the country database has panicked"),
        }
    }
}

/// Reads certificates and keys again and again.
pub(super) async fn reload_certificates(acceptors: Vec<Acceptor>, clock: Clock) {
    let mut told = vec![None; acceptors.len()];
    loop {
        clock.sleep_until(clock.now() + CERTIFICATES).await;
        for (acceptor, told) in acceptors.iter().zip(&mut told) {
            reload(acceptor, told);
        }
    }
}

/// Reads certificates and keys once.
pub(super) fn reload_all(acceptors: &[Acceptor]) {
    for acceptor in acceptors {
        reload(acceptor, &mut None);
    }
}

/// Reads a certificate and its key once. A file that can't be used leaves the last good one in place, which is
/// told once, and again where it is for another reason.
fn reload(acceptor: &Acceptor, told: &mut Option<String>) {
    let file = acceptor.files().certificate.display();
    match acceptor.reload() {
        Ok(true) => info!(%file, "a new certificate is live"),
        Ok(false) if told.is_some() => info!(%file, "the certificate in use is in place again"),
        Ok(false) => {}
        Err(error) => {
            let error = ErrorChain(&error).to_string();
            if told.as_ref() != Some(&error) {
                warn!(%file, error, "a certificate can't be used; the last good one stays");
            }
            *told = Some(error);
            return;
        }
    }
    *told = None;
}

/// Reads what the services of the live generation read from files, again and again: credentials, and
/// certificates for TLS.
pub(super) async fn refresh_upstreams(live: Arc<Live<Snapshot>>, clock: Clock) {
    let mut told = BTreeMap::new();
    loop {
        clock.sleep_until(clock.now() + UPSTREAM_FILES).await;
        told = look_at_upstreams(live.current(), told).await;
    }
}

/// Reads once what the services of `snapshot` read from files. What is wrong with the TLS files of each is
/// returned, and not told where it was `told` before.
pub(super) async fn look_at_upstreams(
    snapshot: Arc<Snapshot>,
    told: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    // A disk may make us wait.
    let looked = spawn_blocking(move || {
        let mut wrong = BTreeMap::new();
        for service in snapshot.services() {
            if let Some(credential) = &service.credential {
                credential.refresh();
            }
            let name = &service.service.name;
            match service.target.refresh() {
                Ok(true) => info!(service = %name, "new TLS files are live"),
                Ok(false) => {}
                Err(error) => {
                    let error = ErrorChain(&error).to_string();
                    if told.get(name.as_str()) != Some(&error) {
                        warn!(service = %name, error, "TLS files can't be used; the last good ones stay");
                    }
                    wrong.insert(name.to_string(), error);
                }
            }
        }
        wrong
    });
    looked.await.unwrap_or_else(|_| {
        error!("the look at the services' files has panicked");
        BTreeMap::new()
    })
}

/// Ends the grants and tasks that a new generation no longer knows, and cuts what it no longer allows.
pub(super) fn reconcile_on_publish(
    reloader: &Reloader,
    grants: &Grants,
    gate: &Arc<Gate>,
) -> watch::Receiver<()> {
    let grants = grants.clone();
    let gate = Arc::clone(gate);
    let (publish, published) = watch::channel(());
    reloader.on_publish(move |snapshot| {
        // Before anybody is asked again, so that they are by the score of these rules.
        grants.signals().score_by(snapshot.risk());
        reconcile(snapshot, &grants);
        gate.recheck();
        publish.send_replace(());
    });
    published
}

/// Ends the grants and tasks that `snapshot` does not know.
pub(super) fn reconcile(snapshot: &Snapshot, grants: &Grants) {
    grants.reconcile(
        |task| snapshot.agent(task.agent.as_str()).is_some(),
        |request| is_known(snapshot, request),
    );
}

/// Whether agent, entitlement and at least one of the operations are still there.
pub(super) fn is_known(snapshot: &Snapshot, request: &GrantRequest) -> bool {
    let agent = snapshot.agent(request.agent.as_str());
    let entitlement = snapshot.entitlement(request.right.entitlement.as_str());
    let entitlement =
        entitlement.filter(|now| !now.operations.is_disjoint(&request.right.operations));
    agent.is_some() && entitlement.is_some()
}

/// Records, counts and logs every generation that goes live or is refused.
pub(super) async fn report_policies(
    reloader: Reloader,
    audit: Audit,
    metrics: Arc<Metrics>,
    clock: Clock,
) {
    let mut changes = reloader.watch_status();
    // Held by the loop alone, this handle would keep the watcher alive for ever.
    drop(reloader);
    let mut live = changes.borrow_and_update().generation.clone();
    while changes.changed().await.is_ok() {
        let status = changes.borrow_and_update().clone();
        let mut record = Record::new(RecordKind::Policy, clock.wall());
        record.generation = Some(status.generation.clone());
        if status.generation != live {
            live = status.generation.clone();
            metrics.live_generation(live.as_str());
            metrics.reload("published");
            let warnings = status.warnings.iter().count();
            info!(generation = %live, rules = status.rules, warnings, "a new generation is live");
            record.verdict = Verdict::Allow;
            record.detail = Some(format!("published with {} rules", status.rules));
        } else if let Some(held) = &status.held {
            metrics.reload("held");
            record.detail = Some(format!(
                "held: generation {} waits for an operator: {}",
                held.generation,
                held.reasons.join("; ")
            ));
        } else if let Some(refused) = &status.last_refused {
            metrics.reload("refused");
            let problems = refused.diagnostics.iter().count();
            warn!(problems, live = %live, "the files are refused; the live generation stays");
            record.detail = Some(format!("refused: {}", refused.diagnostics));
        } else {
            record.detail = Some("the files are the live generation again".to_owned());
        }
        match audit.reserve() {
            Ok(place) => place.write(record),
            Err(why) => error!(%why, "a change of policies can't be recorded"),
        }
    }
}
