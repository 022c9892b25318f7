use super::*;

const KNOWN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn from(value: &str) -> TraceParent {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", value.parse().unwrap());
    TraceParent::continue_from(Some(&headers))
}

#[test]
fn a_trace_goes_on_in_a_span_of_ours() {
    let ours = from(KNOWN);
    assert_eq!(ours.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    let text = ours.text();
    let text = str::from_utf8(&text).unwrap();
    assert!(text.ends_with("-01") && text.len() == KNOWN.len());
    assert_ne!(text, KNOWN, "the span is a new one");
    assert_eq!(from(text).trace_id(), ours.trace_id());
}

#[test]
fn what_is_no_trace_starts_a_new_one() {
    for odd in [
        "",
        "00",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_ne!(
            from(odd).trace_id(),
            "0af7651916cd43dd8448eb211c80319c",
            "{odd}"
        );
    }
}
