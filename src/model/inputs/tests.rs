use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

proptest! {
    /// The standard map is what they are held against.
    #[test]
    fn they_are_a_map(changes in prop::collection::vec(("[abc]{0,2}", prop::option::of(0_i64..3)), 0..12)) {
        let (mut ours, mut standard) = (Inputs::new(), BTreeMap::new());
        for (name, value) in changes {
            let name: Arc<str> = name.into();
            match value.map(InputValue::Long) {
                Some(value) => {
                    let replaced = standard.insert(Arc::clone(&name), value.clone());
                    prop_assert_eq!(ours.insert(name, value), replaced);
                }
                None => prop_assert_eq!(ours.remove(&name), standard.remove(&name)),
            }
            prop_assert!(ours.iter().eq(&standard));
            prop_assert_eq!(ours.len(), standard.len());
        }
        for (place, (name, value)) in standard.iter().enumerate() {
            prop_assert_eq!(ours.get(name), Some(value));
            prop_assert_eq!(ours.at(place), Some(value));
        }
        let again: Inputs = standard.into_iter().rev().collect();
        prop_assert_eq!(&again, &ours);
        prop_assert_eq!(format!("{ours:?}"), format!("{again:?}"));
    }
}
