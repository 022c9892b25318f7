use super::*;

#[test]
fn they_are_counted_as_they_come_and_go() {
    let mut parts = Parts::default();
    for (whole, part) in [(1, 11), (1, 12), (1, 11), (2, 21), (11, 111)] {
        parts.add(&whole, &part);
    }
    assert_eq!(parts.len(), 4);
    assert_eq!(parts.of(&1).collect::<Vec<_>>(), [&11, &12]);
    parts.remove(Some(&1), &11);
    parts.remove(Some(&1), &11);
    parts.remove(Some(&7), &11);
    parts.remove(None, &12);
    assert_eq!(parts.len(), 3);
    assert_eq!(parts.take(&1), BTreeSet::from([12]));
    assert_eq!(parts.take(&1), BTreeSet::new());
    parts.remove(Some(&2), &21);
    parts.take(&11);
    assert_eq!((parts.len(), parts.of.len()), (0, 0));
}
