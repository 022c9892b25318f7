//! Control sides for the tests of this room: routers on a port of their own.

use axum::Router;
use tokio::net::TcpListener;

use super::client::Client;
use super::control::{Caller, Control};
use super::dev::example::serve;
use crate::base::Secret;

/// A client of a control side that runs until the test is over.
pub(super) async fn client_of(router: Router) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router));
    Client::open(format!("http://{address}").parse().unwrap(), None).unwrap()
}

/// The same, as a person with the key `pk_test` sees it.
pub(super) async fn control_of(router: Router) -> Control {
    Control::new(Caller::Person {
        client: client_of(router).await,
        key: Secret::new("pk_test".to_owned()),
    })
}
