use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn it_parts_as_the_standard_library_does(text in "[a/é]{0,12}") {
        prop_assert_eq!(split_once(&text, b'/'), text.split_once('/'));
        let parts: Vec<_> = split(&text, b'/').collect();
        prop_assert_eq!(parts, text.split('/').collect::<Vec<_>>());
    }
}
