use super::*;

const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn known_answer() {
    assert_eq!(Digest::of(b"abc").to_string(), OF_ABC);
    assert_eq!(Digest::of_parts(&[b"a", b"", b"bc"]), Digest::of(b"abc"));
}

#[test]
fn hex_reads_back_and_refuses_other_spellings() {
    assert_eq!(Digest::from_hex(OF_ABC), Some(Digest::of(b"abc")));
    for wrong in ["", "ba78", &OF_ABC.to_uppercase(), &"g".repeat(64)] {
        assert_eq!(Digest::from_hex(wrong), None, "{wrong}");
    }
}
