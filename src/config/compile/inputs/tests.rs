use super::*;

fn check(name: &str, spec: &str, expected: &str) {
    let shown = match input(name, spec) {
        Ok((name, input)) => format!("{name} = {:?} {}", input.source, input.kind.as_str()),
        Err(error) => error.to_string(),
    };
    assert!(shown.starts_with(expected), "{name} = {spec:?}: {shown}");
}

#[test]
fn inputs_name_their_place_and_type() {
    check(
        "order_id",
        "path:String",
        "order_id = Path(\"order_id\") String",
    );
    check(
        "id",
        "path:order_id:String",
        "id = Path(\"order_id\") String",
    );
    check("page", "query:Long", "page = Query(\"page\") Long");
    check(
        "page",
        "query:page[number]:Long",
        "page = Query(\"page[number]\") Long",
    );
    check(
        "amount",
        "body:/amount:Long",
        "amount = Body(\"/amount\") Long",
    );
    check(
        "amount",
        "body:/a:b/0:Long",
        "amount = Body(\"/a:b/0\") Long",
    );
    check(
        "amount",
        "body:/a~1b~0:Bool",
        "amount = Body(\"/a~1b~0\") Bool",
    );
    check(
        "why",
        "header:X-Reason:String",
        "why = Header(\"x-reason\") String",
    );
    check(
        "amount",
        "form:order[amount]:Long",
        "amount = Form(\"order[amount]\") Long",
    );
    check("amount", "form:Long", "amount = Form(\"amount\") Long");
    check(
        "name",
        "graphql:operation:String",
        "name = Graphql(Operation) String",
    );
    check("type", "graphql:String", "type = Graphql(Type) String");
    check(
        "amount",
        "graphql:/order/amount:Long",
        "amount = Argument(\"/order/amount\") Long",
    );
    check(
        "what",
        "graphql:field:String",
        "what = Graphql(Field) String",
    );
}

#[test]
fn what_can_not_be_an_input_is_refused() {
    check("a", "", "`` is not an input");
    check("a", "path", "`path` is not an input");
    check("a", "path::String", "`path::String` is not an input");
    check(
        "a",
        "cookie:String",
        "inputs are read from body, form, graphql, header, path or query",
    );
    check(
        "a",
        "path:string",
        "the types of inputs are Bool, Long and String",
    );
    check("a", "body:Long", "`` is not a JSON pointer");
    check("a", "body:amount:Long", "`amount` is not a JSON pointer");
    check("a", "body:/a~2:Long", "`/a~2` is not a JSON pointer");
    check("a", "body:/a~:Long", "`/a~` is not a JSON pointer");
    check(
        "a",
        "header:authorization:String",
        "the header `authorization` can't",
    );
    for name in [
        "cookie",
        "connection",
        "content-length",
        "dpop",
        "expect",
        "host",
        "te",
        "traceparent",
        "transfer-encoding",
        "via",
        "x-real-ip",
    ] {
        let expected = format!("the header `{name}` can't");
        check("a", &format!("header:{name}:String"), &expected);
    }
    check("a", "graphql:query:String", "of a GraphQL request");
    check("a", "graphql:type:Long", "what is told of a GraphQL");
    check("a", "form::Long", "`form::Long` is not an input");
    check(
        "a",
        "header:x-forwarded-for:String",
        "the header `x-forwarded-for` can't",
    );
    check(
        "a",
        "header:portcullis-agent:String",
        "the header `portcullis-agent` can't",
    );
    check("x_y", "header:String", "the header `x_y` can't");
    check("a b", "path:String", "`a b` can't name an input");
    check("", "path:String", "`` can't name an input");
    check("1st", "path:String", "`1st` can't name an input");
}

#[test]
fn the_type_that_was_meant_is_offered() {
    for (found, meant) in [
        ("string", "String"),
        ("int", "Long"),
        ("Boolean", "Bool"),
        ("Lnog", "Long"),
    ] {
        let error = input("a", &format!("path:{found}")).unwrap_err();
        let InputError::Type { meant: offered, .. } = error else {
            panic!("{found}: {error}");
        };
        assert_eq!(offered, Some(meant), "{found}");
    }
}
