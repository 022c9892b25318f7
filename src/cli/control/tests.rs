use axum::Router;
use axum::extract::RawQuery;
use axum::routing::get;

use super::*;
use crate::cli::testing::control_of;

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let page = async |RawQuery(query): RawQuery| {
        match query.as_deref() {
            None => json!({ "items": [1, 2], "next": "a&b" }),
            Some("cursor=a%26b") => json!({ "items": [3], "next": null }),
            Some(other) => json!({ "unexpected": other }),
        }
        .to_string()
    };
    let control = control_of(Router::new().route("/v1/grants", get(page))).await;
    let list = control.list(Binding::None, "/v1/grants").await.unwrap();
    assert_eq!(list, json!({ "items": [1, 2, 3], "next": null }));
}

#[tokio::test]
async fn a_list_that_never_ends_is_given_up() {
    let items: Vec<u32> = (0..3_000).collect();
    let page = json!({ "items": items, "next": "again" }).to_string();
    let control = control_of(Router::new().route("/v1/grants", get(async move || page))).await;
    let list = control.list(Binding::None, "/v1/grants").await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 12_000);
    assert_eq!(list["next"], "again");

    let empty = json!({ "items": [], "next": "again" }).to_string();
    let control = control_of(Router::new().route("/v1/grants", get(async move || empty))).await;
    let list = control.list(Binding::None, "/v1/grants").await.unwrap();
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn what_is_no_list_is_an_error() {
    let page = async || json!({ "grants": [] }).to_string();
    let control = control_of(Router::new().route("/v1/grants", get(page))).await;
    let error = control.list(Binding::None, "/v1/grants").await.unwrap_err();
    assert!(
        error.to_string().contains("did not answer with a list"),
        "{error}"
    );
}
