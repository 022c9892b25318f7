use axum::response::IntoResponse as _;
use http::StatusCode;

use super::*;
use crate::store::StoreError;

#[test]
fn what_can_not_be_kept_is_not_the_clients_fault() {
    let failed = || GrantsError::Store(StoreError::Full("a test says so"));
    let check = |failure: GrantsError, code: &str, status: StatusCode| {
        let refused = refuse(Refused::NotKept(failure));
        assert_eq!(refused.code, code, "{refused:?}");
        assert_eq!(refused.into_response().status(), status);
    };
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    check(failed(), "temporarily_unavailable", unavailable);
    check(
        GrantsError::Stopping,
        "temporarily_unavailable",
        unavailable,
    );
    let full = GrantsError::TooManyPending { limit: 1 };
    check(full, "invalid_request", StatusCode::BAD_REQUEST);
}
