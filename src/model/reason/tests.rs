use super::*;

#[test]
fn codes_read_back() {
    for reason in DenyReason::ALL {
        assert_eq!(DenyReason::from_code(reason.as_str()), Some(*reason));
    }
    for reason in EndReason::ALL {
        assert_eq!(EndReason::from_code(reason.as_str()), Some(*reason));
    }
    assert_eq!(EndReason::from_code("closed"), None);
}
