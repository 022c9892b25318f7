//! The others, as their manuals tune them. Their configurations lie in `peers/`.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::control::AGENT;
use crate::process::{MEASURED, Process};

/// Where nginx keeps its modules.
const MODULES: [&str; 3] = [
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/usr/local/openresty/nginx/modules",
];

/// Whose tokens the others believe: the same that our own gate issues.
pub(crate) struct Issuer {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) jwks: Value,
}

/// A peer that runs.
pub(crate) struct Peer {
    pub(crate) process: Process,
    pub(crate) version: String,
}

/// Where a peer runs: its directory, address and upstream.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) listen: SocketAddr,
    pub(crate) upstream: SocketAddr,
}

type Started = Result<Peer, String>;

pub(crate) fn nginx(site: Site<'_>, _: &Issuer) -> Started {
    let program = find("nginx")?;
    let config = site.write("nginx.conf", include_str!("peers/nginx.conf"), &[]);
    start(
        site,
        &program,
        &nginx_command(&program, &config, site),
        "-v",
    )
}

pub(crate) fn nginx_lua(site: Site<'_>, issuer: &Issuer) -> Started {
    let program = find("nginx")?;
    let modules = MODULES.into_iter().find(|path| {
        let module = Path::new(path).join("ngx_http_lua_module.so");
        module.exists()
    });
    let modules = modules.ok_or("nginx has no Lua module here (libnginx-mod-http-lua)")?;
    let key_file = site.key_file(issuer)?;
    fs::write(
        site.directory.join("token.lua"),
        include_str!("peers/token.lua"),
    )
    .unwrap();
    let more = [
        ("@MODULES@", modules),
        ("@KEY_FILE@", &key_file),
        ("@ISSUER@", &issuer.issuer),
        ("@AUDIENCE@", &issuer.audience),
        ("@AGENT@", AGENT),
    ];
    let config = site.write("nginx.conf", include_str!("peers/nginx-lua.conf"), &more);
    start(
        site,
        &program,
        &nginx_command(&program, &config, site),
        "-v",
    )
}

pub(crate) fn haproxy(site: Site<'_>, _: &Issuer) -> Started {
    haproxy_with(site, "  # without TLS")
}

/// HTTP/2 and TLS 1.3 beside the plain listener, at `secure`; `pem` has the certificate and its key.
pub(crate) fn haproxy_tls(site: Site<'_>, secure: SocketAddr, pem: &Path) -> Started {
    let pem = pem.display();
    let bind = format!("  bind {secure} ssl crt {pem} alpn h2 ssl-min-ver TLSv1.3");
    haproxy_with(site, &bind)
}

fn haproxy_with(site: Site<'_>, bind: &str) -> Started {
    let program = find("haproxy")?;
    let template = include_str!("peers/haproxy.cfg");
    let config = site.write("haproxy.cfg", template, &[("@TLS@", bind)]);
    start(site, &program, &haproxy_command(&program, &config), "-v")
}

pub(crate) fn haproxy_jwt(site: Site<'_>, issuer: &Issuer) -> Started {
    let program = find("haproxy")?;
    let key_file = site.key_file(issuer)?;
    let more = [
        ("@KEY_FILE@", &*key_file),
        ("@ISSUER@", &issuer.issuer),
        ("@AUDIENCE@", &issuer.audience),
        ("@AGENT@", AGENT),
    ];
    let template = include_str!("peers/haproxy-jwt.cfg");
    let config = site.write("haproxy.cfg", template, &more);
    start(site, &program, &haproxy_command(&program, &config), "-v")
}

pub(crate) fn envoy(site: Site<'_>, issuer: &Issuer) -> Started {
    let program = find("envoy")?;
    let (port, upstream) = (
        site.listen.port().to_string(),
        site.upstream.port().to_string(),
    );
    let more = [
        ("@PORT@", &*port),
        ("@UPSTREAM_PORT@", &upstream),
        ("@ISSUER@", &issuer.issuer),
        ("@AUDIENCE@", &issuer.audience),
        ("@AGENT@", AGENT),
        ("@JWKS@", &issuer.jwks.to_string()),
    ];
    let config = site.write("envoy.yaml", include_str!("peers/envoy.yaml"), &more);
    let mut command = Command::new(&program);
    command.arg("-c").arg(config);
    command.args(["--concurrency", "1", "--log-level", "error"]);
    command.args(["--disable-hot-restart", "--use-dynamic-base-id"]);
    start(site, &program, &command, "--version")
}

fn start(site: Site<'_>, program: &Path, command: &Command, version: &str) -> Started {
    let mut process = Process::start(MEASURED, command, &site.directory.join("log"));
    process.ready(site.listen)?;
    let said = Command::new(program).arg(version).output().unwrap();
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let number = said
        .split(|letter: char| letter.is_whitespace() || letter == '/')
        .find(|word| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit()))
        .and_then(|word| word.split('-').next());
    Ok(Peer {
        process,
        version: number.unwrap_or("of an unknown version").to_owned(),
    })
}

fn nginx_command(program: &Path, config: &Path, site: Site<'_>) -> Command {
    let mut command = Command::new(program);
    command.arg("-c").arg(config).arg("-p").arg(site.directory);
    command.args(["-e", "stderr"]);
    command
}

fn haproxy_command(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(config);
    command
}

impl Site<'_> {
    /// Fills in a configuration.
    fn write(self, name: &str, template: &str, more: &[(&str, &str)]) -> PathBuf {
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            "# As whoever runs this."
        };
        let mut text = template
            .replace("@USER@", user)
            .replace("@DIRECTORY@", &self.directory.display().to_string())
            .replace("@LISTEN@", &self.listen.to_string())
            .replace("@UPSTREAM@", &self.upstream.to_string());
        for (name, value) in more {
            text = text.replace(name, value);
        }
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The issuer's key, in PEM.
    fn key_file(self, issuer: &Issuer) -> Result<String, String> {
        let key = &issuer.jwks["keys"][0];
        let member = |name: &str| {
            let text = key[name].as_str().unwrap_or_default();
            URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
        };
        if key["crv"] != "P-256" {
            return Err("the gate's key is not one for ES256".to_owned());
        }
        // SubjectPublicKeyInfo of a P-256 point (RFC 5480 §2).
        let prefix = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\
                       \xce\x3d\x03\x01\x07\x03\x42\x00\x04";
        let info = [&prefix[..], &member("x"), &member("y")].concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(info)
        );
        let path = self.directory.join("key.pem");
        fs::write(&path, pem).unwrap();
        Ok(path.display().to_string())
    }
}

/// The program of that name: in the variable of its name in capitals, or on the path.
fn find(name: &str) -> Result<PathBuf, String> {
    if let Some(path) = env::var_os(name.to_uppercase()) {
        return Ok(path.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut places = env::split_paths(&path).chain(usual);
    let found = places.find_map(|place| {
        let program = place.join(name);
        program.is_file().then_some(program)
    });
    found.ok_or_else(|| format!("{name} is not installed"))
}
