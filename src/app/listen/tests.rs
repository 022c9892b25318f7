use super::*;

#[test]
fn a_taken_port_is_found_out_also_where_ports_can_be_shared() {
    let first = bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
    let address = first.local_addr().unwrap();
    let taken = free_address(address).unwrap_err();
    assert!(matches!(taken, BindError::Taken(at) if at == address));
    assert!(taken.to_string().contains("is taken"));
}

#[test]
fn workers_share_a_port() {
    let address = free_address("127.0.0.1:0".parse().unwrap()).unwrap();
    let one = bind(address, true).unwrap();
    let two = bind(address, true).unwrap();
    assert_eq!(one.local_addr().unwrap(), two.local_addr().unwrap());
}
