use super::*;

#[test]
fn lengths_have_one_form() {
    let read = |der: &[u8]| Der(der).element().map(|element| element.content.len());
    assert_eq!(read(&[4, 1, 0]), Some(1));
    assert_eq!(
        read(&[&[4, 0x81, 0x80], [0; 128].as_slice()].concat()),
        Some(128)
    );
    for odd in [
        &[4, 2, 0][..],
        &[4, 0x80, 0, 0],
        &[4, 0x81, 1, 0],
        &[4, 0x82, 0, 1, 0],
        &[4, 0xff],
        &[0x1f, 1, 0],
        &[4],
        &[],
    ] {
        assert_eq!(read(odd), None, "{odd:?}");
    }
}
