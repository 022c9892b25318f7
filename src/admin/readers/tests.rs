use super::*;

fn take(readers: &Readers, reader: &str) -> Result<Place, Full> {
    readers.take(reader.to_owned())
}

#[test]
fn one_reader_leaves_room_for_others() {
    let readers = Readers::default();
    let own: Vec<_> = (0..MOST_OF_ONE)
        .map(|_| take(&readers, "agent a").unwrap())
        .collect();
    assert_eq!(take(&readers, "agent a").unwrap_err(), Full::One);
    let _theirs = take(&readers, "person a").unwrap();
    drop(own);
    assert!(take(&readers, "agent a").is_ok());
}

#[test]
fn all_of_them_together_are_bounded() {
    let readers = Readers::default();
    let mut places: Vec<_> = (0..MOST)
        .map(|number| take(&readers, &format!("agent {}", number / MOST_OF_ONE)).unwrap())
        .collect();
    assert_eq!(take(&readers, "agent late").unwrap_err(), Full::Everybody);
    assert_eq!(take(&readers, "agent 0").unwrap_err(), Full::One);
    places.pop();
    let late = take(&readers, "agent late").unwrap();
    drop((places, late));
    let streams = streams(&readers.0);
    assert_eq!((streams.all, streams.of_one.len()), (0, 0));
}
