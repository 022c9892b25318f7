use super::*;

#[test]
fn an_odd_byte_is_found_wherever_it_stands() {
    for length in 0..40 {
        let text = vec![b'a'; length];
        assert!(is_plain(&text), "{length}");
        for place in 0..length {
            for byte in 0..=u8::MAX {
                let mut text = text.clone();
                text[place] = byte;
                assert_eq!(is_plain(&text), is_plain_byte(byte), "{byte} at {place}");
            }
        }
    }
}
