use super::*;

fn check(word: &str, expected: Option<&str>) {
    let candidates = [
        "orders.refund",
        "orders.read",
        "max_ttl",
        "id",
        "groups",
        "été",
    ];
    assert_eq!(closest(word, candidates), expected, "{word:?}");
}

#[test]
fn the_nearest_name_is_offered_if_it_is_near() {
    check("orders.refnud", Some("orders.refund"));
    check("order.read", Some("orders.read"));
    check("Orders.Read", Some("orders.read"));
    check("max-ttl", Some("max_ttl"));
    check("maxttl", Some("max_ttl"));
    check("di", Some("id"));
    check("group", Some("groups"));
    check("ete", None);
    check("eté", Some("été"));
    check("deployments", None);
    check("", None);
}
