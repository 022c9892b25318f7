//! `deploy/kubernetes.yaml`, as far as it can be told without a cluster: it says what the program has, and the
//! program starts, and starts again, in files that are laid out as a kubelet lays them out.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portcullis::base::Clock;
use portcullis::config::{Listener, Settings};
use portcullis::tls::mint::development_identity;
use rustix::process::{Pid, Signal, kill_process};

use super::{DOCKERFILE, after, settings};
use crate::harness::program;

const MANIFEST: &str = include_str!("../../../deploy/kubernetes.yaml");

/// Where the manifest mounts what.
const CONFIGURATION: &str = "/etc/portcullis";
const STATE: &str = "/var/lib/portcullis";

/// What the manifest says the configuration file is.
fn configuration() -> String {
    let (_, rest) = MANIFEST.split_once("  portcullis.toml: |\n").unwrap();
    let (text, _) = rest.split_once("\n---\n").unwrap();
    text.replace("\n    ", "\n").trim_start().to_owned()
}

/// The numbers behind a word.
fn numbers(text: &str, word: &str) -> Vec<u16> {
    let rests = text.split(word).skip(1);
    let digits = rests.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

/// The ports of gateway, control and admin.
fn ports(settings: &Settings) -> Vec<u16> {
    let port = |listener: &Listener| listener.address.port();
    let gateway = settings.gateway.listeners.iter().map(port);
    let control = [&settings.control.listener].into_iter().map(port);
    let admin = settings.admin.iter().map(port);
    gateway.chain(control).chain(admin).collect()
}

/// The document of `kind` that is called `name`.
fn document(kind: &str, name: &str) -> &'static str {
    let (kind, name) = (format!("\nkind: {kind}\n"), format!("\n  name: {name}\n"));
    let mut documents = MANIFEST.split("\n---\n");
    let found = documents.find(|one| one.contains(&kind) && one.contains(&name));
    found.unwrap_or_else(|| panic!("no{kind}of{name}"))
}

#[test]
fn ports_and_names_are_those_of_the_configuration() {
    let settings = settings(&configuration());
    let ports = ports(&settings);
    assert_eq!(numbers(MANIFEST, "containerPort: "), ports);
    let policies = ["agents-reach-the-gate-only", "gate"];
    for policy in policies.map(|name| document("NetworkPolicy", name)) {
        let allowed = numbers(policy, "{ port: ");
        let known = |port: &u16| *port == 53 || ports.contains(port);
        assert!(allowed.iter().all(known), "{allowed:?}");
        assert!(allowed.contains(&ports[0]) && allowed.contains(&ports[1]));
    }
    let urls = [
        ("gate", "gateway", &settings.gateway.public_url),
        ("gate-control", "control", &settings.control.public_url),
    ];
    for (name, port, url) in urls {
        let service = document("Service", name);
        assert!(service.contains(&format!("port: 443, targetPort: {port} ")));
        assert_eq!(url.to_string(), format!("https://{name}.portcullis.svc"));
    }
}

#[test]
fn everything_that_is_named_is_mounted() {
    let settings = settings(&configuration());
    let mounts: Vec<_> = MANIFEST
        .split("mountPath: ")
        .skip(1)
        .filter_map(|rest| rest.split([',', ' ']).next())
        .map(Path::new)
        .collect();
    let listeners = [&settings.control.listener].into_iter();
    let listeners = listeners.chain(&settings.gateway.listeners);
    let identities: Vec<_> = listeners
        .chain(&settings.admin)
        .filter_map(|one| one.tls.as_ref())
        .collect();
    // Agents' tokens and people's keys: nothing of it in clear.
    assert_eq!(identities.len(), 3);
    let keys = identities.iter().map(|tls| &tls.key);
    let files = identities.iter().map(|tls| &tls.certificate).chain(keys);
    for file in files.chain([&settings.policies]) {
        assert!(mounts.iter().any(|mount| file.starts_with(mount)));
    }
    for state in [
        &settings.store,
        &settings.audit,
        &settings.tokens.signing_keys,
    ] {
        assert!(state.starts_with(STATE) && mounts.contains(&Path::new(STATE)));
    }
}

#[test]
fn the_pod_has_the_time_to_drain() {
    let grace = numbers(MANIFEST, "terminationGracePeriodSeconds: ")[0];
    let drain = settings(&configuration()).limits.drain.as_secs();
    assert!(u64::from(grace) > drain + 10, "{grace} s for {drain} s");
}

#[test]
fn the_image_is_that_of_the_dockerfile() {
    let image = after(MANIFEST, "image: ").next().unwrap();
    let version = concat!("portcullis:", env!("CARGO_PKG_VERSION"));
    assert!(image.ends_with(version) && DOCKERFILE.contains(version));
    let user = numbers(MANIFEST, "runAsUser: ")[0];
    assert_eq!(
        after(DOCKERFILE, "USER ").next(),
        Some(&*format!("{user}:{user}"))
    );
}

/// A directory that stands for the root of the pod.
struct Pod(tempfile::TempDir);

impl Pod {
    fn new() -> Self {
        let pod = Self(tempfile::tempdir().unwrap());
        let identity = development_identity(&pod.0.path().join("certs"), &Clock::system()).unwrap();
        let read = |path: &Path| fs::read(path).unwrap();
        let tls = [
            ("tls.crt".to_owned(), read(&identity.gateway.certificate)),
            ("tls.key".to_owned(), read(&identity.gateway.key)),
        ];
        pod.project("tls", tls, 0o440);
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let flat = ["", "conditions"].into_iter().flat_map(|directory| {
            let entries = fs::read_dir(shipped.join(directory)).unwrap();
            entries.map(|entry| entry.unwrap().path())
        });
        let files = flat.filter(|path| path.is_file());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        pod.project(
            "policies",
            files.map(|path| (name(&path), read(&path))),
            0o644,
        );
        let inside = configuration()
            .replace(CONFIGURATION, &pod.path(CONFIGURATION))
            .replace(STATE, &pod.path(STATE));
        let anywhere = ["8443", "8444", "8445"].into_iter();
        let inside = anywhere.fold(inside, |text, port| {
            text.replace(&format!("\"0.0.0.0:{port}\""), "\"127.0.0.1:0\"")
        });
        let file = pod.path("/etc/portcullis/portcullis.toml");
        fs::write(file, inside).unwrap();
        fs::create_dir_all(pod.path(STATE)).unwrap();
        // What `fsGroup` makes of the root of a new volume.
        mode(Path::new(&pod.path(STATE)), 0o2775);
        pod
    }

    /// A path of the pod, as it is here.
    fn path(&self, inside: &str) -> String {
        format!("{}{inside}", self.0.path().display())
    }

    /// Files of a ConfigMap or Secret: links through `..data`, which is one more.
    fn project(
        &self,
        volume: &str,
        files: impl IntoIterator<Item = (String, Vec<u8>)>,
        of_mode: u32,
    ) {
        let volume = PathBuf::from(self.path(CONFIGURATION)).join(volume);
        let version = volume.join("..2026_11_29");
        fs::create_dir_all(&version).unwrap();
        symlink("..2026_11_29", volume.join("..data")).unwrap();
        for (name, content) in files {
            fs::write(version.join(&name), content).unwrap();
            mode(&version.join(&name), of_mode);
            symlink(Path::new("..data").join(&name), volume.join(name)).unwrap();
        }
    }

    /// Starts the container, which is answered for by its probes, and stops it.
    fn runs(&self) {
        let arguments = after(MANIFEST, "args: [").next().unwrap();
        let arguments = arguments.trim_end_matches(']').split(", ");
        let arguments = arguments.map(|one| one.replace(CONFIGURATION, &self.path(CONFIGURATION)));
        let child = Command::new(program())
            .args(arguments)
            .env_remove("PORTCULLIS_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut container = Container(child.unwrap());
        let mut said = BufReader::new(container.0.stderr.take().unwrap()).lines();
        let mut before = Vec::new();
        let control = loop {
            let Some(line) = said.next() else {
                panic!("it does not start: {before:#?}");
            };
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once("the control side listens on ") {
                // The line is a text in JSON.
                break rest.split('"').next().unwrap().to_owned();
            }
            before.push(line);
        };
        let probes: Vec<_> = after(MANIFEST, "httpGet: { path: ").collect();
        assert_eq!(probes.len(), 3);
        for probe in probes {
            let (path, rest) = probe.split_once(", ").unwrap();
            assert_eq!(rest, "port: control, scheme: HTTPS }");
            // A kubelet does not look whose certificate it is.
            let url = format!("https://{control}{path}");
            let asked = Command::new("curl").args(["-kfsS", &url]).output().unwrap();
            assert!(asked.status.success(), "{probe}: {asked:?}");
        }
        kill_process(Pid::from_child(&container.0), Signal::TERM).unwrap();
        assert!(container.0.wait().unwrap().success());
    }

    /// What a kubelet does to the volume of the state before each further start.
    fn mount_again(&self) {
        if !MANIFEST.contains("fsGroupChangePolicy: OnRootMismatch") {
            open_to_group(Path::new(&self.path(STATE)));
        }
    }
}

struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Kubernetes' `SetVolumeOwnership`: the group may read and write everything.
fn open_to_group(path: &Path) {
    let now = fs::metadata(path).unwrap().permissions().mode();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            open_to_group(&entry.unwrap().path());
        }
        mode(path, now | 0o2770);
    } else {
        mode(path, now | 0o660);
    }
}

#[test]
fn the_pod_starts_and_starts_again() {
    let pod = Pod::new();
    pod.runs();
    pod.mount_again();
    pod.runs();
}
