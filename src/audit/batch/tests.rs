use super::*;

#[test]
fn what_goes_in_comes_out_in_its_order_and_its_parts() {
    let mut batch = Batch::default();
    assert!(batch.is_empty() && batch.iter().next().is_none());
    for _ in 0..2 {
        for members in ["a", "", "bcd"] {
            batch.push(members.as_bytes());
        }
        assert_eq!(batch.len(), 3);
        assert_eq!(batch.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bcd"]);
        batch.clear();
        assert!(batch.is_empty());
    }
}

#[test]
fn a_burst_leaves_little_memory_behind() {
    let mut batch = Batch::default();
    batch.push(&vec![b'x'; 3 * KEPT]);
    batch.clear();
    assert!(batch.bytes.capacity() <= KEPT);
}
