//! The API's description is one that tools can work with: what OpenAPI 3.1 demands of the whole document.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Plan, run};

async fn document() -> Value {
    let gate = Plan::new().start().await;
    let answer = gate.control("GET", "/v1/openapi.json").send().await;
    answer.expect(200).json()
}

/// Every operation, with its method and path, and its parameters.
fn operations(document: &Value) -> Vec<(String, &Value, Vec<&Value>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let known = ["get", "put", "post", "delete", "patch"];
            assert!(known.contains(&method.as_str()), "{method} {path}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            found.push((format!("{method} {path}"), operation, parameters.collect()));
        }
    }
    assert!(found.len() > 30, "{}", found.len());
    found
}

#[test]
fn what_stands_in_a_path_is_declared_there_and_nothing_else() {
    run(async {
        let document = document().await;
        for (name, _, parameters) in operations(&document) {
            let braced = name.split('/').filter(|part| part.starts_with('{'));
            let wanted: BTreeSet<_> = braced.map(|part| part.trim_matches(['{', '}'])).collect();
            let mut declared = BTreeSet::new();
            let mut all = BTreeSet::new();
            for parameter in parameters {
                let named = parameter["name"].as_str().unwrap();
                let place = parameter["in"].as_str().unwrap();
                assert!(all.insert((named, place)), "{name}: `{named}` twice");
                assert!(parameter["schema"].is_object(), "{name}: {parameter}");
                match place {
                    "path" => {
                        assert_eq!(parameter["required"], true, "{name}: {parameter}");
                        declared.insert(named);
                    }
                    "query" | "header" => {}
                    other => panic!("{name}: a parameter in `{other}`"),
                }
            }
            assert_eq!(declared, wanted, "{name}");
        }
    });
}

#[test]
fn lists_say_what_they_take() {
    run(async {
        let document = document().await;
        let takes = |path: &str| -> BTreeSet<String> {
            let parameters = document["paths"][path]["get"]["parameters"].as_array();
            let parameters = parameters.into_iter().flatten();
            let of_query = parameters.filter(|one| one["in"] == "query" && one["required"] != true);
            of_query
                .map(|one| one["name"].as_str().unwrap().to_owned())
                .collect()
        };
        let check = |path: &str, expected: &[&str]| {
            let expected = expected.iter().map(ToString::to_string).collect();
            assert_eq!(takes(path), expected, "{path}");
        };
        check("/v1/grants", &["agent", "cursor", "limit", "task"]);
        check(
            "/v1/requests",
            &["agent", "cursor", "limit", "state", "task", "wait"],
        );
        check("/v1/requests/{id}", &["wait"]);
        check(
            "/v1/audit",
            &[
                "agent",
                "cursor",
                "grant",
                "kind",
                "limit",
                "person",
                "request_id",
                "task",
                "verdict",
            ],
        );
    });
}

#[test]
fn operations_have_names_of_their_own_and_answers_say_what_they_are() {
    run(async {
        let document = document().await;
        let mut names = BTreeSet::new();
        for (name, operation, _) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(names.insert(id), "{name}: `{id}` is another's");
            let answers = operation["responses"].as_object().unwrap();
            assert!(!answers.is_empty(), "{name}");
            for (status, answer) in answers {
                let said = answer["description"].as_str().unwrap_or_default();
                assert!(!said.trim().is_empty(), "{name}: {status}");
            }
        }
    });
}

#[test]
fn what_is_referred_to_is_there_and_so_is_who_may_ask() {
    run(async {
        let document = document().await;
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let servers = document["servers"].as_array().unwrap();
        assert_eq!(servers[0]["url"], "/");

        let schemes = document["components"]["securitySchemes"]
            .as_object()
            .unwrap();
        for (name, scheme) in schemes {
            let kind = scheme["type"].as_str().unwrap();
            assert!(["http", "mutualTLS"].contains(&kind), "{name}: {scheme}");
        }
        let of_all = &document["security"];
        assert!(!of_all.as_array().unwrap().is_empty());
        let mut used = BTreeSet::new();
        for (name, operation, _) in operations(&document) {
            let wanted = operation.get("security").unwrap_or(of_all);
            for one in wanted.as_array().unwrap() {
                for scheme in one.as_object().unwrap().keys() {
                    assert!(schemes.contains_key(scheme), "{name}: `{scheme}`");
                    used.insert(scheme.clone());
                }
            }
        }
        assert_eq!(used, schemes.keys().cloned().collect());
    });
}

fn collect<'v>(value: &'v Value, references: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|one| collect(one, references));
        }
        Value::Array(items) => items.iter().for_each(|one| collect(one, references)),
        _ => {}
    }
}
