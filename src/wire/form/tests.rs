use proptest::prelude::*;

use super::*;

fn check(text: &str, name: &str, expected: Result<&str, FormFault>) {
    let read = form_fields(text);
    let read = read.and_then(|fields| form_value(&fields, name).map(str::to_owned));
    assert_eq!(read, expected.map(str::to_owned), "{name} in {text}");
}

#[test]
fn a_field_has_one_value() {
    check("a=1", "a", Ok("1"));
    check("b=2&a=1&", "a", Ok("1"));
    check("a", "a", Ok(""));
    check("a=x=y", "a", Ok("x=y"));
    check("a=1+2%26b%3D3", "a", Ok("1 2&b=3"));
    check("%61=%C3%A9", "a", Ok("é"));
    check("page[size]=5&page[number]=2", "page[number]", Ok("2"));
    check("ab=1&a=2", "a", Ok("2"));
    check("", "a", Err(FormFault::Absent));
    check("b=1", "a", Err(FormFault::Absent));
}

#[test]
fn what_servers_read_in_two_ways_is_refused() {
    for text in [
        "a=1&a=2",
        "a=1&A=2",
        "a=1&%61=2",
        "a=1&a[]=2",
        "a=1&a[x]=2",
        "a=1&+a=2",
        "A=1",
        "a[]=1",
    ] {
        check(text, "a", Err(FormFault::Twice));
    }
    check("order.id=1", "order_id", Err(FormFault::Twice));
    check("ask=1&a%C5%BFk=2", "ask", Err(FormFault::Twice));
    check("p[n]=1&p=2", "p[n]", Err(FormFault::Twice));
    check("p[n]=1&P[n]=2", "p[n]", Err(FormFault::Twice));
    for text in ["a=1;a=2", "a=1;b=2", "b=2;a=1"] {
        check(text, "a", Err(FormFault::Semicolon));
    }
    for text in [
        "a=%",
        "a=%4",
        "a=%zz",
        "a=1&b=%ff",
        "%c0%af=1&a=1",
        "a=%ED%A0%80",
    ] {
        check(text, "a", Err(FormFault::Encoding));
    }
    for text in ["a=1&a%00b=2", "a=1&%0aa=2"] {
        check(text, "a", Err(FormFault::Control));
    }
}

proptest! {
    /// What is compared without a copy is what is compared with one.
    #[test]
    fn names_are_alike_as_they_are_folded(one in "[ aA._\\[é\t\u{b}]{0,4}", other in "[ aA._\\[é\t\u{b}]{0,4}") {
        let expected = is_caseless_match(&folded(&one), &folded(&other));
        prop_assert_eq!(is_alike(&one, &other), expected);
    }
}
