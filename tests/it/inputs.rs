//! Inputs from headers, forms and GraphQL on the running gateway: what conditions see is what the
//! upstream gets, or the request does not pass.

use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, Plan, Work, run};

const OPERATIONS: &str = r#"
[[operation]]
id = "shop.region"
service = "shop"
route = "GET /shop/region"
input = { region = "header:X-Region:String", most = "header:X-Most:Long" }

[[operation]]
id = "shop.order"
service = "shop"
route = "POST /shop/order"
input = { amount = "form:order[amount]:Long", note = "form:note:String", express = "form:express:Bool" }

[[operation]]
id = "shop.graph"
service = "shop"
route = "ANY /shop/graph"
input = { name = "graphql:operation:String", kind = "graphql:type:String", field = "graphql:field:String" }

[[operation]]
id = "shop.vars"
service = "shop"
route = "POST /shop/vars"
input = { kind = "graphql:type:String", amount = "body:/variables/amount:Long" }

[[operation]]
id = "shop.pay"
service = "shop"
route = "ANY /shop/pay"
input = { field = "graphql:field:String", amount = "graphql:/amount:Long" }
"#;

const ENTITLEMENTS: &str = r#"
[[entitlement]]
id = "work"
operations = ["shop.region", "shop.order", "shop.graph", "shop.pay", "shop.vars"]
max_ttl = "1h"
"#;

const RULES: &str = r#"
@id("all")
permit (principal, action, resource);

@id("region")
forbid (principal, action == Action::"shop.region", resource)
when { context.input.region != "eu" || context.input.most > 10 };

@id("order")
forbid (principal, action == Action::"shop.order", resource)
when { context.input.amount > 100 || context.input.note like "*secret*" || context.input.express };

@id("graph")
forbid (principal, action == Action::"shop.graph", resource)
when { context.input.kind != "query" || context.input.field != "orders" || context.input.name == "Hidden" };

@id("pay")
forbid (principal, action == Action::"shop.pay", resource)
when { context.input.amount > 100 };

@id("vars")
forbid (principal, action == Action::"shop.vars", resource)
when { context.input.amount > 100 };
"#;

async fn gate() -> (Gateway, Work) {
    let plan = Plan::new()
        .file("operations.toml", OPERATIONS)
        .file("entitlements.toml", ENTITLEMENTS)
        .file("rules.cedar", RULES)
        .settings("[credentials]\nallow = [\"env:SHOP_*\"]");
    let gate = plan.start().await;
    let work = gate.agent("bot").works("work").await;
    (gate, work)
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A request and what becomes of it: 200, or the code of the refusal.
struct Case<'c> {
    method: &'c str,
    path: &'c str,
    headers: Vec<(&'c str, &'c str)>,
    body: Vec<u8>,
}

impl Case<'_> {
    async fn send(&self, gate: &Gateway, work: &Work) -> Answer {
        let mut call = gate.call(self.method, self.path).bearer(&work.token);
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        call.bytes(self.body.clone()).send().await
    }

    /// The request passes, and every byte of it arrives.
    #[track_caller]
    fn passed(&self, gate: &Gateway, answer: Answer) {
        answer.expect(200);
        let arrived = gate.upstream.last();
        assert_eq!(arrived.body, self.body);
        assert_eq!(
            format!("/shop{}", arrived.target.trim_start_matches("/shop")),
            self.path
        );
        for (name, value) in &self.headers {
            assert_eq!(arrived.header(name), Some(*value), "{name}");
        }
    }
}

/// Sends each case: the first few pass, the next are denied by the rule, the rest have no one reading.
async fn check(passing: &[Case<'_>], denied: &[Case<'_>], invalid: &[Case<'_>]) {
    let (gate, work) = gate().await;
    for case in passing {
        let answer = case.send(&gate, &work).await;
        case.passed(&gate, answer);
    }
    let before = gate.upstream.count();
    assert_eq!(before, passing.len());
    for (cases, status, code) in [
        (denied, 403, "condition_denied"),
        (invalid, 400, "input_invalid"),
    ] {
        for case in cases {
            let answer = case.send(&gate, &work).await;
            let shown = String::from_utf8_lossy(&case.body);
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (status, Some(code)),
                "{} {} {:?} {shown}: {}",
                case.method,
                case.path,
                case.headers,
                answer.text()
            );
        }
    }
    assert_eq!(gate.upstream.count(), before);
}

fn region<'c>(headers: &[(&'c str, &'c str)]) -> Case<'c> {
    Case {
        method: "GET",
        path: "/shop/region",
        headers: headers.to_vec(),
        body: Vec::new(),
    }
}

#[test]
fn a_header_is_there_once_and_reaches_the_upstream() {
    run(async {
        let eu = ("x-region", "eu");
        let most = ("x-most", "10");
        check(
            &[region(&[eu, most])],
            &[
                region(&[("x-region", "us"), most]),
                region(&[eu, ("x-most", "11")]),
                region(&[("x-region", "EU"), most]),
                region(&[("x-region", "eu, us"), most]),
            ],
            &[
                region(&[eu]),
                region(&[most]),
                region(&[eu, eu, most]),
                region(&[eu, ("x-region", "us"), most]),
                region(&[eu, ("x-most", "9"), most]),
                region(&[("x-region", "\u{e9}u"), most]),
                region(&[eu, ("x-most", "1e1")]),
                region(&[eu, ("x-most", "010")]),
                region(&[eu, ("x-most", "0x5")]),
                region(&[eu, ("x-most", "")]),
                region(&[eu, ("x-most", "9223372036854775808")]),
                // To the upstream the header would never have been there.
                region(&[eu, most, ("connection", "x-region")]),
                region(&[eu, most, ("connection", "keep-alive, X-Most")]),
            ],
        )
        .await;
    });
}

fn order<'c>(headers: &[(&'c str, &'c str)], body: &str) -> Case<'c> {
    Case {
        method: "POST",
        path: "/shop/order",
        headers: headers.to_vec(),
        body: body.as_bytes().to_vec(),
    }
}

#[test]
fn a_form_has_one_reading() {
    run(async {
        let form: &[_] = &[("content-type", FORM)];
        let good = "order[amount]=100&note=hi&express=false";
        let mut invalid: Vec<_> = [
            "",
            "note=hi&express=false",
            "order[amount]=100&note=hi",
            // Hidden by a second one, in whichever spelling.
            "order[amount]=5&note=hi&express=false&order[amount]=500",
            "order[amount]=5&note=hi&express=false&order%5Bamount%5D=500",
            "order[amount]=5&note=hi&express=false&Order[Amount]=500",
            "order[amount]=5&note=hi&express=false&order=500",
            "order[amount]=5&note=hi&express=false&note[]=secret",
            "order[amount]=5&note=hi&express=false&+note=secret",
            "order[amount]=5&note=hi&express=false&note%00x=secret",
            "order[amount]=5&note=hi&express=false;note=secret",
            "order[amount]=5&note=hi;order[amount]=500&express=false",
            // Of another type, or in a spelling that is a number to some.
            "order[amount]=&note=hi&express=false",
            "order[amount]=ten&note=hi&express=false",
            "order[amount]=1e3&note=hi&express=false",
            "order[amount]=+5&note=hi&express=false",
            "order[amount]=05&note=hi&express=false",
            "order[amount]=5.0&note=hi&express=false",
            "order[amount]=9223372036854775808&note=hi&express=false",
            "order[amount]=-9223372036854775809&note=hi&express=false",
            "order[amount]=5&note=hi&express=no",
            "order[amount]=5&note=hi&express=False",
            // Not percent-encoded UTF-8.
            "order[amount]=5&note=%&express=false",
            "order[amount]=5&note=%e&express=false",
            "order[amount]=5&note=%ff&express=false",
            "order[amount]=5&note=%c1%b3ecret&express=false",
            "order[amount]=5&note=hi&express=false&x=%zz",
            "order[amount]=5&note=hi&express=false&%zz=1",
            r#"{"order":{"amount":5},"note":"hi","express":false}"#,
        ]
        .map(|body| order(form, body))
        .into();
        for headers in [
            &[][..],
            &[("content-type", JSON)],
            &[("content-type", "text/plain")],
            &[("content-type", "multipart/form-data; boundary=x")],
            &[(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-16",
            )],
            &[(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8; charset=utf-7",
            )],
            &[("content-type", FORM), ("content-type", JSON)],
            &[("content-type", FORM), ("content-encoding", "gzip")],
            &[("content-type", FORM), ("content-encoding", "identity")],
        ] {
            invalid.push(order(headers, good));
        }
        let mut not_text = order(form, good);
        not_text.body.extend_from_slice(b"&x=\xff");
        invalid.push(not_text);
        check(
            &[
                order(form, good),
                order(
                    form,
                    "express=false&note=a+b%21%20&x=1&order%5Bamount%5D=-7&order[more]=9",
                ),
                order(
                    &[(
                        "content-type",
                        "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
                    )],
                    good,
                ),
            ],
            &[
                order(form, "order[amount]=101&note=hi&express=false"),
                order(form, "order%5bamount%5d=%31%30%31&note=hi&express=false"),
                order(form, "order[amount]=5&note=%73ecret&express=false"),
                order(form, "order[amount]=5&note=hi&express=true"),
            ],
            &invalid,
        )
        .await;
    });
}

fn graph(body: &Value) -> Case<'static> {
    posted("/shop/graph", &[("content-type", JSON)], body.to_string())
}

fn posted<'c>(path: &'c str, headers: &[(&'c str, &'c str)], body: String) -> Case<'c> {
    Case {
        method: "POST",
        path,
        headers: headers.to_vec(),
        body: body.into_bytes(),
    }
}

#[test]
fn a_graphql_request_selects_one_operation() {
    run(async {
        let orders = "query Orders { orders { id } }";
        let both = "query Orders { orders { id } } mutation Hidden { deleteAll }";
        let json: &[_] = &[("content-type", JSON)];
        let mut invalid: Vec<_> = [
            json!({}),
            json!({ "query": null }),
            json!({ "query": 1 }),
            json!({ "query": "" }),
            json!({ "query": "query Orders { orders { id }" }),
            json!({ "query": "Query Orders { orders { id } }" }),
            // Which one?
            json!({ "query": both }),
            json!({ "query": both, "operationName": null }),
            json!({ "query": both, "operationName": "" }),
            json!({ "query": both, "operationName": "orders" }),
            json!({ "query": both, "operationName": ["Orders"] }),
            json!({ "query": "query A { orders } mutation A { deleteAll }", "operationName": "A" }),
            json!({ "query": "query A { orders } { deleteAll }", "operationName": "A" }),
            json!({ "query": orders, "operationName": "Other" }),
            // Nameless, several fields, fragments: what is declared can't be told.
            json!({ "query": "{ orders { id } }" }),
            json!({ "query": "query Orders { orders { id } deleteAll }" }),
            json!({ "query": "query Orders { ...F } fragment F on Query { deleteAll }" }),
            json!({ "query": "query Orders { ... { deleteAll } }" }),
            json!({ "query": "query Orders { orders } type T { a: Int }" }),
            // Line ends on which parsers differ.
            json!({ "query": "query Orders { orders } #\u{2028}mutation Hidden { deleteAll }" }),
            json!({ "query": "query Orders { orders } #\u{0}" }),
            json!({ "query": format!("query Orders {{ orders {} }}", "{ a ".repeat(300) + &"}".repeat(300)) }),
            // Several requests, and documents that are not there.
            json!([{ "query": orders }]),
            json!([{ "query": orders }, { "query": orders }]),
            json!("query Orders { orders }"),
            json!({ "query": orders, "id": "stored" }),
            json!({ "query": orders, "documentId": "stored" }),
            json!({ "query": orders, "Query": both }),
            json!({ "query": orders, "extensions": { "persistedQuery": { "version": 1 } } }),
            json!({ "query": orders, "extensions": "persistedQuery" }),
            json!({ "extensions": { "persistedQuery": { "version": 1 } } }),
        ]
        .iter()
        .map(graph)
        .collect();
        let good = json!({ "query": orders }).to_string();
        let twice = format!(r#"{{"query": {orders:?}, "query": "query Orders {{ orders }}"}}"#);
        let escaped =
            format!(r#"{{"query": {orders:?}, "\u0071uery": "query Orders {{ orders }}"}}"#);
        for body in [twice, escaped, String::new(), format!("{good}{good}")] {
            invalid.push(posted("/shop/graph", json, body));
        }
        for headers in [
            &[][..],
            &[("content-type", "application/graphql")],
            &[("content-type", "multipart/form-data; boundary=x")],
            &[("content-type", "application/json; charset=utf-7")],
            &[("content-type", JSON), ("content-encoding", "gzip")],
        ] {
            invalid.push(posted("/shop/graph", headers, good.clone()));
        }
        // The query beside the body: some servers prefer it.
        for query in [
            "query=mutation%20Hidden%7BdeleteAll%7D",
            "operationName=Hidden",
            "OPERATIONNAME=Hidden",
            "%71uery=x",
            "variables=%7B%7D",
            "extensions=%7B%7D",
            "documentId=1",
            "a=1;query=x",
        ] {
            let path = format!("/shop/graph?{query}").leak();
            invalid.push(posted(path, json, good.clone()));
        }
        let get = |query: &str| Case {
            method: "GET",
            path: format!("/shop/graph?{query}").leak(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let asked = "query=query+Orders%7Borders%7D";
        for query in [
            "a=1",
            "query=",
            "query=query+Orders%7Borders",
            "query=query+Orders%7Borders%7D&query=mutation+M%7Ba%7D",
            "query=query+Orders%7Borders%7D&Query=mutation+M%7Ba%7D",
            "query=query+Orders%7Borders%7D&operationName=M",
            "query=query+Orders%7Borders%7D&operationName=",
            "query=query+Orders%7Borders%7D&operationName=Orders&operationName=M",
            "query=query+Orders%7Borders%7D&extensions=%7B%22persistedQuery%22%3A1%7D",
            "query=query+Orders%7Borders%7D&doc_id=7",
            "query=query+Orders%7Borders%7D;query=x",
            "query=%ff",
        ] {
            invalid.push(get(query));
        }
        let mut with_body = get(asked);
        with_body.headers = json.to_vec();
        with_body.body = json!({ "query": both }).to_string().into_bytes();
        invalid.push(with_body);
        let mut put = graph(&json!({ "query": orders }));
        put.method = "PUT";
        invalid.push(put);

        let escaped = good.replace('q', "\\u0071");
        check(
            &[
                graph(&json!({ "query": orders })),
                graph(&json!({ "query": orders, "operationName": "Orders", "variables": { "a": 1 }, "extensions": {} })),
                graph(&json!({ "query": both, "operationName": "Orders" })),
                graph(&json!({ "query": "query Orders { hidden: orders(t: \"} mutation M { x\") { id } }" })),
                posted("/shop/graph?page=2", json, good),
                posted("/shop/graph", json, escaped),
                get(asked),
                get("operationName=Orders&variables=%7B%7D&query=query%20Orders%7Borders%7Dmutation%20Hidden%7Bx%7D"),
            ],
            &[
                graph(&json!({ "query": both, "operationName": "Hidden" })),
                graph(&json!({ "query": "mutation Orders { orders }" })),
                graph(&json!({ "query": "query Orders { orders: deleteAll }" })),
                graph(&json!({ "query": "subscription Orders { orders }" })),
                graph(&json!({ "query": "query Orders { orders } #\r mutation Hidden { deleteAll }", "operationName": "Hidden" })),
                get("query=mutation+Orders%7Borders%7D"),
            ],
            &invalid,
        )
        .await;
    });
}

#[test]
fn variables_of_a_graphql_request_are_inputs_of_its_body() {
    run(async {
        let vars = |amount: Value| {
            let query = "mutation Pay($amount: Int!) { pay(amount: $amount) }";
            let body = json!({ "query": query, "variables": { "amount": amount } });
            posted("/shop/vars", &[("content-type", JSON)], body.to_string())
        };
        check(
            &[vars(json!(100))],
            &[vars(json!(101))],
            &[vars(json!("100")), vars(json!(1.5)), vars(Value::Null)],
        )
        .await;
    });
}

#[test]
fn arguments_of_a_graphql_field_are_inputs_wherever_they_stand() {
    run(async {
        let pay = |query: &str, variables: Value| {
            let body = json!({ "query": query, "variables": variables });
            posted("/shop/pay", &[("content-type", JSON)], body.to_string())
        };
        let none = || json!({});
        let by_variable = "mutation Pay($amount: Int!) { pay(amount: $amount) }";
        let by_another = "mutation Pay($amount: Int, $b: Int!) { pay(amount: $b, note: $amount) }";
        check(
            &[
                pay(by_variable, json!({ "amount": 100 })),
                pay("mutation { pay(amount: 100) }", json!({ "amount": 600 })),
                pay("mutation($a: Int = 5) { pay(amount: $a) }", none()),
            ],
            &[
                pay(by_variable, json!({ "amount": 101 })),
                pay("mutation { pay(amount: 600) }", json!({ "amount": 5 })),
                pay(by_another, json!({ "amount": 5, "b": 600 })),
                pay("mutation($a: Int = 600) { pay(amount: $a) }", none()),
            ],
            &[
                pay("mutation { pay }", none()),
                pay(
                    "mutation { pay(amount: 5) other: pay(amount: 600) }",
                    none(),
                ),
                pay("mutation { pay(amount: 5, amount: 600) }", none()),
                pay("mutation { pay(amount: $amount) }", json!({ "amount": 5 })),
                pay(by_variable, none()),
                pay(by_variable, json!([5])),
                pay(by_variable, json!({ "amount": "5" })),
            ],
        )
        .await;
    });
}

#[test]
fn a_body_that_inputs_are_read_from_is_held_up_to_the_limit() {
    run(async {
        let (gate, work) = gate().await;
        let long = format!(
            "order[amount]=5&express=false&note={}",
            "a".repeat(64 << 10)
        );
        let case = order(&[("content-type", FORM)], &long);
        case.send(&gate, &work).await.refusal(413, "too_large");
        assert_eq!(gate.upstream.count(), 0);
    });
}

#[test]
fn what_can_not_be_read_can_not_be_declared() {
    run(async {
        let (gate, _) = gate().await;
        let operation = |route: &str, more: &str, input: &str| {
            format!(
                "[[operation]]\nid = \"shop.odd\"\nservice = \"shop\"\nroute = \"{route} /shop/odd\"\n{more}\n\
                 input = {{ {input} }}\n"
            )
        };
        for (text, expected) in [
            (
                operation("GET", "", "a = \"form:a:Long\""),
                "has no form to read",
            ),
            (
                operation("POST", "protocol = \"grpc\"", "a = \"form:a:Long\""),
                "has no form to read",
            ),
            (
                operation("PUT", "", "a = \"graphql:type:String\""),
                "GET or POST",
            ),
            (
                operation(
                    "GET",
                    "protocol = \"websocket\"",
                    "a = \"graphql:type:String\"",
                ),
                "GET or POST",
            ),
            (
                operation("POST", "", "a = \"graphql:type:Long\""),
                "is a String",
            ),
            (
                operation("POST", "", "a = \"graphql:fields:String\""),
                "can be told",
            ),
            (
                operation("POST", "", "a = \"form:a:Long\", b = \"body:/b:Long\""),
                "both a form and JSON",
            ),
            (
                operation("POST", "", "a = \"header:Via:String\""),
                "the header `Via` can't be an input",
            ),
            (
                operation("POST", "", "a = \"header:Portcullis-Task:String\""),
                "can't be an input",
            ),
            (
                operation("POST", "", "a = \"header:X-Api-Key:String\""),
                "the gateway writes it",
            ),
        ] {
            gate.write_policy("odd.toml", &text);
            let services = "[[service]]\nname = \"shop\"\nmatch = { path = \"/shop\" }\n\
                            upstreams = [\"http://127.0.0.1:1\"]\n\
                            inject = { header = \"X-Api-Key\", value_from = \"env:SHOP_KEY\" }\n";
            gate.write_policy("services.toml", services);
            gate.reload().await;
            let refused = gate.status().last_refused.expect("a refusal");
            let shown = format!("{refused:?}");
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
    });
}
