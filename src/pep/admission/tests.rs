use super::*;

fn from(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn connections_are_limited_in_all_and_from_each_address() {
    let admission = Arc::new(Admission::new(3, 2));
    let first = admission.admit(from(1)).unwrap();
    let _second = admission.admit(from(1)).unwrap();
    assert_eq!(admission.admit(from(1)).unwrap_err(), Full::Source);
    let _third = admission.admit(from(2)).unwrap();
    assert_eq!(admission.admit(from(3)).unwrap_err(), Full::All);
    drop(first);
    let _fourth = admission.admit(from(3)).unwrap();
    assert_eq!(admission.admit(from(4)).unwrap_err(), Full::All);
}

#[test]
fn addresses_that_are_gone_leave_nothing_behind() {
    let admission = Arc::new(Admission::new(10, 1));
    for last in 0..100 {
        drop(admission.admit(from(last)).unwrap());
    }
    assert!(admission.open().by_source.is_empty());
    assert_eq!(admission.open().all, 0);
}
