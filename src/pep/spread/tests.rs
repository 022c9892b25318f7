use std::net::{IpAddr, Ipv4Addr, TcpListener};

use super::*;
use crate::config::Protocols;
use crate::pep::admission::Admission;

#[test]
fn whoever_accepts_them_all_workers_get_as_many() {
    for acceptors in [[0, 0, 0, 0], [0, 1, 2, 0], [2, 2, 1, 1]] {
        let spread = Arc::new(Spread::new(3));
        let mut all = Vec::new();
        for round in 0..12 {
            all.push(spread.assign(acceptors[round % 4]));
        }
        for worker in 0..3 {
            let own = all.iter().filter(|one| one.worker() == worker);
            assert_eq!(own.count(), 4, "{acceptors:?}");
        }
        all.retain(|one| one.worker() != 1);
        assert_eq!(
            spread.assign(0).worker(),
            1,
            "those that have ended don't count"
        );
    }
}

#[test]
fn a_small_difference_among_many_moves_nothing() {
    let spread = Arc::new(Spread::new(2));
    let _mine: Vec<_> = (0..108).map(|_| spread.count(0)).collect();
    let _other: Vec<_> = (0..100).map(|_| spread.count(1)).collect();
    let one = spread.assign(0);
    assert_eq!(one.worker(), 0);
    let _more: Vec<_> = (0..4).map(|_| spread.count(0)).collect();
    assert_eq!(spread.assign(0).worker(), 1);
}

#[tokio::test]
async fn a_connection_comes_back_from_a_worker_that_takes_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let admission = Arc::new(Admission::new(9, 9));
    let spread = Arc::new(Spread::new(2));
    let accepted = || Accepted {
        stream: TcpStream::connect(address).unwrap(),
        peer: address,
        ways: (None, Protocols::Http1),
        admitted: admission.admit(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap(),
        counted: spread.count(1),
    };
    let mut desk = spread.desk(1).unwrap();
    assert!(spread.desk(1).is_none(), "there is one of these for each");
    spread.hand_over(accepted()).unwrap();
    // What is on its way when a worker closes is still its own.
    desk.close();
    let refused = spread.hand_over(accepted()).unwrap_err();
    assert_eq!(refused.counted.worker(), 1);
    assert!(desk.recv().await.is_some());
    assert!(desk.recv().await.is_none());
}
