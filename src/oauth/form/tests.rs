use super::*;

fn read(content_type: &str, body: &'static str) -> Result<Form, String> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", content_type.parse().unwrap());
    Form::read(&headers, &Bytes::from_static(body.as_bytes())).map_err(|error| error.description)
}

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn each_parameter_has_one_value() {
    let form = read(
        "application/x-www-form-urlencoded; charset=UTF-8",
        "a=1&b=x+y%21&c=&c=",
    )
    .unwrap();
    assert_eq!(form.get("a"), Some("1"));
    assert_eq!(form.get("b"), Some("x y!"));
    assert_eq!(form.get("c"), None);
    assert!(form.required("c").is_err());
    assert!(read(FORM, "a=1&a=1").is_err());
    assert!(read(FORM, "a=1&%61=2").is_err());
    assert_eq!(
        read(FORM, "resource=b&resource=a").unwrap().all("resource"),
        ["b", "a"]
    );
    assert!(read(FORM, "a=%ff").is_err());
    assert!(read(FORM, "a=%4").is_err());
    assert!(read("application/json", "a=1").is_err());
}
