use super::*;

#[test]
fn nothing_is_posted_in_the_clear_but_on_this_machine() {
    let check = |url: &str, expected: bool| {
        let url: Uri = url.parse().unwrap();
        assert_eq!(check_url(&url).is_ok(), expected, "{url}");
    };
    check("https://hooks.example/a?b=c", true);
    check("http://127.0.0.1:9/a", true);
    check("http://[::1]:9/a", true);
    check("http://localhost/a", true);
    check("http://hooks.example/a", false);
    check("http://10.0.0.1/a", false);
    check("ftp://hooks.example/a", false);
    check("/a", false);
}

#[test]
fn a_notification_names_its_host_and_is_signed() {
    let url: Uri = "https://hooks.example:8443/a?b=c".parse().unwrap();
    let request = request(&url, "t=1,v1=00", Bytes::from_static(b"{}")).unwrap();
    assert_eq!(request.uri(), "/a?b=c");
    assert_eq!(request.headers()["host"], "hooks.example:8443");
    assert_eq!(request.headers()["portcullis-signature"], "t=1,v1=00");
}
