//! A shop's orders: read them, hold them, pay them back.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Seen, Shared, lock};

/// How often one order can be paid back in part.
const MOST_REFUNDS: usize = 100;
/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 500;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/orders", get(list))
        .route("/orders/status", get(opening))
        .route("/orders/{id}", get(read))
        .route("/orders/{id}/hold", put(hold).delete(release))
        .route("/orders/{id}/refunds", post(refund))
}

/// All orders, by id. Refunds are bounded by what was paid, so the whole is.
#[derive(Debug)]
pub(super) struct Orders(BTreeMap<String, Order>);

#[derive(Clone, Debug, Serialize)]
struct Order {
    id: String,
    customer: &'static str,
    item: &'static str,
    /// In whole units of the currency, as every amount here.
    total: i64,
    refunded: i64,
    currency: &'static str,
    status: Status,
    refunds: Vec<Refund>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Delivered,
    OnHold,
    Paid,
    Refunded,
}

#[derive(Clone, Debug, Serialize)]
struct Refund {
    id: String,
    amount: i64,
    currency: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    amount: i64,
    currency: String,
    reason: Option<String>,
}

impl Orders {
    /// The orders that every start begins with.
    pub(super) fn stocked() -> Self {
        let order = |id: &str, customer, item, total, status| {
            let order = Order {
                id: id.to_owned(),
                customer,
                item,
                total,
                refunded: 0,
                currency: "EUR",
                status,
                refunds: Vec::new(),
            };
            (id.to_owned(), order)
        };
        Self(BTreeMap::from([
            order("1001", "customer-17", "desk lamp", 89, Status::Delivered),
            order("1002", "customer-41", "office chair", 349, Status::Paid),
            order("1003", "customer-08", "laptops", 24_000, Status::Delivered),
            order("1004", "customer-23", "headphones", 179, Status::OnHold),
            order("1005", "customer-41", "monitor", 620, Status::Paid),
        ]))
    }

    /// Pays back a part of an order, or says why it can't.
    fn refund(&mut self, id: &str, body: RefundBody) -> Result<Value, (StatusCode, &'static str)> {
        let order = self.0.get_mut(id).ok_or(UNKNOWN)?;
        if body.amount < 1 {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, "`amount` is at least 1"));
        }
        if body.currency != order.currency {
            let message = "`currency` is not the one that the order was paid in";
            return Err((StatusCode::UNPROCESSABLE_ENTITY, message));
        }
        if body
            .reason
            .as_ref()
            .is_some_and(|r| r.chars().count() > LONGEST_REASON)
        {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, "`reason` is too long"));
        }
        if body.amount > order.total.saturating_sub(order.refunded) {
            return Err((
                StatusCode::CONFLICT,
                "less than `amount` is left to pay back",
            ));
        }
        if order.refunds.len() >= MOST_REFUNDS {
            return Err((
                StatusCode::CONFLICT,
                "the order has been paid back in too many parts",
            ));
        }
        let refund = Refund {
            id: format!("{id}-{}", order.refunds.len().saturating_add(1)),
            amount: body.amount,
            currency: body.currency,
            reason: body.reason,
        };
        order.refunded = order.refunded.saturating_add(refund.amount);
        order.refunds.push(refund.clone());
        if order.refunded == order.total {
            order.status = Status::Refunded;
        }
        Ok(json!({ "refund": refund, "order": order }))
    }

    /// Moves an order from one status to another.
    fn shift(
        &mut self,
        id: &str,
        from: Status,
        to: Status,
        otherwise: &'static str,
    ) -> Result<Value, (StatusCode, &'static str)> {
        let order = self.0.get_mut(id).ok_or(UNKNOWN)?;
        if order.status != from && order.status != to {
            return Err((StatusCode::CONFLICT, otherwise));
        }
        order.status = to;
        Ok(json!({ "order": order }))
    }
}

const UNKNOWN: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such order");

async fn list(State(shared): State<Shared>, seen: Seen, RawQuery(query): RawQuery) -> Response {
    let wanted = match status_of(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(message) => return seen.refuse(StatusCode::UNPROCESSABLE_ENTITY, message),
    };
    let orders = lock(&shared.orders);
    let orders: Vec<_> = orders
        .0
        .values()
        .filter(|order| wanted.is_none_or(|wanted| order.status == wanted))
        .collect();
    let document = json!({ "orders": orders });
    seen.answer(StatusCode::OK, document)
}

/// The `status` of a query, where it has one.
fn status_of(query: &str) -> Result<Option<Status>, &'static str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let word = pairs.into_iter().find(|(name, _)| *name == "status");
    match word.map(|(_, word)| word) {
        None => Ok(None),
        Some("delivered") => Ok(Some(Status::Delivered)),
        Some("on_hold") => Ok(Some(Status::OnHold)),
        Some("paid") => Ok(Some(Status::Paid)),
        Some("refunded") => Ok(Some(Status::Refunded)),
        Some(_) => Err("`status` is one of delivered, on_hold, paid, refunded"),
    }
}

async fn opening(seen: Seen) -> Response {
    seen.answer(
        StatusCode::OK,
        json!({ "service": "orders", "status": "open" }),
    )
}

async fn read(State(shared): State<Shared>, seen: Seen, Path(id): Path<String>) -> Response {
    let order = lock(&shared.orders)
        .0
        .get(&id)
        .map(|order| json!({ "order": order }));
    respond(seen, StatusCode::OK, order.ok_or(UNKNOWN))
}

async fn hold(State(shared): State<Shared>, seen: Seen, Path(id): Path<String>) -> Response {
    let message = "only a paid order that is still here can be held";
    let held = lock(&shared.orders).shift(&id, Status::Paid, Status::OnHold, message);
    respond(seen, StatusCode::OK, held)
}

async fn release(State(shared): State<Shared>, seen: Seen, Path(id): Path<String>) -> Response {
    let message = "the order is not on hold";
    let released = lock(&shared.orders).shift(&id, Status::OnHold, Status::Paid, message);
    respond(seen, StatusCode::OK, released)
}

async fn refund(
    State(shared): State<Shared>,
    seen: Seen,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let refunded = serde_json::from_slice(&body)
        .map_err(|_| {
            let message =
                "the body is JSON: {\"amount\": 120, \"currency\": \"EUR\", \"reason\": \"…\"}";
            (StatusCode::UNPROCESSABLE_ENTITY, message)
        })
        .and_then(|body| lock(&shared.orders).refund(&id, body));
    respond(seen, StatusCode::CREATED, refunded)
}

fn respond(
    seen: Seen,
    success: StatusCode,
    outcome: Result<Value, (StatusCode, &'static str)>,
) -> Response {
    match outcome {
        Ok(document) => seen.answer(success, document),
        Err((status, message)) => seen.refuse(status, message),
    }
}
