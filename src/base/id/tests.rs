use super::*;

#[test]
fn ids_carry_their_prefix_and_differ() {
    let (one, two) = (random_id("tsk"), random_id("tsk"));
    assert!(one.starts_with("tsk_") && one.len() == 30);
    assert_ne!(one, two);
}

#[test]
fn labels_are_never_dealt_twice() {
    let labels: std::collections::BTreeSet<[u8; 16]> = (0..200).map(|_| random_label()).collect();
    assert_eq!(labels.len(), 200);
    let odd: [u8; 7] = random_label();
    assert_ne!(odd, random_label());
}

#[test]
fn hexadecimal_has_two_digits_for_each_byte() {
    assert_eq!(hex(&[0, 9, 0xaf, 0xff]), "0009afff");
    for length in 0..100 {
        let bytes: Vec<u8> = (0..length).map(|n: u8| n.wrapping_mul(37)).collect();
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex(&bytes), digits);
        let mut out = b"<".to_vec();
        extend_hex(&mut out, &bytes);
        assert_eq!(out, format!("<{digits}").as_bytes());
        let mut room = vec![0; digits.len()];
        fill_hex(&mut room, &bytes);
        assert_eq!(room, digits.as_bytes());
    }
}
