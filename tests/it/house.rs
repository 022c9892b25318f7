//! The house keeps its own rules: which room imports which, which room holds which heavy dependency, and
//! what each front door says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms by floor. A room imports only from lower floors.
const FLOORS: [&[&str]; 9] = [
    &["base"],
    &["model", "telemetry", "tls", "wire"],
    &[
        "approvals",
        "audit",
        "mcp",
        "pdp",
        "signals",
        "store",
        "tokens",
        "upstream",
    ],
    &["authn", "config", "grants"],
    &["access", "notices"],
    &["admin", "oauth", "pep"],
    &["rehearsal"],
    &["app"],
    &["cli"],
];

/// A heavy dependency, and the rooms that may name it.
const DOORS: [(&str, &[&str]); 13] = [
    ("apollo_parser", &["wire"]),
    ("axum", &["admin", "app", "cli", "oauth"]),
    ("cedar_policy", &["pdp"]),
    ("clap", &["cli"]),
    ("jsonwebtoken", &["tokens"]),
    ("maxminddb", &["signals"]),
    ("moka", &["pdp", "pep"]),
    ("notify", &["config"]),
    ("prometheus_client", &["telemetry"]),
    ("rcgen", &["tls"]),
    ("rusqlite", &["store"]),
    ("rustls", &["tls"]),
    ("tokio_rustls", &["tls"]),
];

/// The longest doc of a front door, in lines.
const LONGEST_DOC: usize = 25;

/// A source file: its room, the depth of its module below the crate, and its code without comments
/// and texts.
struct Source {
    path: PathBuf,
    room: String,
    depth: usize,
    code: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // What a package of its own was built into is not ours.
            if !path.ends_with("target") {
                files(&path, into);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut paths = Vec::new();
    files(&src, &mut paths);
    paths.sort();
    let sources = paths.into_iter().filter_map(|path| {
        let below = path.strip_prefix(&src).unwrap().with_extension("");
        let mut module: Vec<String> = below
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        let room = module.first().cloned()?;
        // The crate's own two files are no rooms.
        (!["lib", "main"].contains(&room.as_str())).then(|| Source {
            code: code_of(&fs::read_to_string(&path).unwrap()),
            depth: module.len(),
            room,
            path,
        })
    });
    sources.collect()
}

/// The text without comments and without what stands in quotes.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut quoted = false;
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if quoted => drop(letters.next()),
                '\'' if !quoted && letters.peek() == Some(&'"') => drop(letters.next()),
                '"' => quoted = !quoted,
                '/' if !quoted && letters.peek() == Some(&'/') => break,
                letter if !quoted => code.push(letter),
                _ => {}
            }
        }
        code.push('\n');
    }
    code
}

/// The first names behind every occurrence of `prefix` that begins a word, `{a, b}` taken apart.
fn names_after(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => names.extend(word(rest)),
            Some(list) => names.extend(members(list)),
        }
    }
    names
}

fn word(text: &str) -> Option<String> {
    let word: String = text
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// The first name of each member of a list in braces, whose opening one is gone.
fn members(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0_usize, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                names.extend(word(&list[start..at]));
                start = at + 1;
            }
            '}' => {
                names.extend(word(&list[start..at]));
                break;
            }
            _ => {}
        }
    }
    names
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn a_path_is_taken_apart_as_rust_does() {
    let code = code_of(
        "use crate::{base::{Clock, Live}, model::Grant, tls};\nuse crate::pdp::Permit; // crate::cli\n\
         let x = crate::oauth::y(\"crate::app\"); pub(crate) fn z() {} mycrate::no::x();",
    );
    let names = names_after(&code, "crate::");
    assert_eq!(names, ["base", "model", "tls", "pdp", "oauth"]);
}

#[test]
fn every_room_has_a_floor_and_a_front_door() {
    let rooms: BTreeSet<String> = sources().into_iter().map(|source| source.room).collect();
    for room in &rooms {
        assert!(floor(room).is_some(), "`{room}` has no floor");
        let door = root().join("src").join(room).join("mod.rs");
        let text = fs::read_to_string(&door).expect("a front door");
        let doc: Vec<_> = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        assert!(!doc.is_empty(), "`{room}` does not say what it is for");
        assert!(
            doc.len() <= LONGEST_DOC,
            "`{room}` says it in {} lines",
            doc.len()
        );
        let invariant = doc.iter().any(|line| line.contains("Invariant:"));
        let thin = ["cli"].contains(&room.as_str());
        assert!(invariant || thin, "`{room}` names no invariant");
    }
}

#[test]
fn rooms_import_from_lower_floors_only() {
    let mut breaches = BTreeMap::new();
    for source in sources() {
        let own = floor(&source.room).expect("a floor");
        for name in names_after(&source.code, "crate::") {
            // A macro of the crate itself has no floor.
            let Some(other) = floor(&name) else { continue };
            if name != source.room && other >= own {
                let breach = format!("`{}` imports `{name}`", source.room);
                breaches.insert(breach, source.path.clone());
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

/// `super::super` must not be a way round the floors.
#[test]
fn no_path_climbs_out_of_its_room() {
    for source in sources() {
        for steps in source.depth..source.depth + 4 {
            let climb = "super::".repeat(steps);
            let climbs = source.code.contains(&climb);
            assert!(!climbs, "{}: {climb}", source.path.display());
        }
    }
}

#[test]
fn a_heavy_dependency_has_one_door() {
    for source in sources() {
        for (dependency, rooms) in DOORS {
            let named = uses(&source.code, dependency);
            let allowed = rooms.contains(&source.room.as_str());
            assert!(
                !named || allowed,
                "{} names `{dependency}`, which belongs to {rooms:?}",
                source.path.display()
            );
        }
    }
}

/// Whether the code names a crate: in `use`, or in a path.
fn uses(code: &str, dependency: &str) -> bool {
    code.match_indices(dependency).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + dependency.len()..];
        let begins = !before.is_some_and(|c| c.is_alphanumeric() || "_:.".contains(c));
        let imported = code[..at].trim_end().ends_with("use");
        begins && (after.starts_with("::") || imported)
    })
}

/// What is committed works on every machine, so it names no place of one.
#[test]
fn no_file_names_a_place_of_one_machine() {
    let mut paths = Vec::new();
    for directory in ["src", "tests", "benches"] {
        files(&root().join(directory), &mut paths);
    }
    let own = root();
    let parent = own.parent().unwrap().to_str().unwrap();
    let places = [
        own.to_str().unwrap(),
        &format!("{parent}/"),
        concat!("/ro", "ot/"),
    ];
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for place in places.iter().filter(|place| place.len() > 3) {
            assert!(!text.contains(place), "{} names {place}", path.display());
        }
    }
}
