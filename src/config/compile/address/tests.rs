use super::*;

fn check(text: &str, expected: &str) {
    let shown = match upstream(text) {
        Ok(UpstreamAddress {
            tls,
            authority,
            socket: None,
        }) => format!("{tls} {authority}"),
        Ok(UpstreamAddress {
            socket: Some(path), ..
        }) => format!("socket {}", path.display()),
        Err(error) => format!("{error:?}")
            .split('(')
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn the_port_is_always_written() {
    check("http://10.0.0.5:9000", "false 10.0.0.5:9000");
    check("http://orders", "false orders:80");
    check("https://Orders.Internal", "true orders.internal:443");
    check("https://orders.internal/", "true orders.internal:443");
    check("http://[::1]:80", "false [::1]:80");
    check("http://127.0.0.1:1", "false 127.0.0.1:1");
    check("http://orders_v2.3com", "false orders_v2.3com:80");
}

#[test]
fn a_socket_is_named_from_the_root() {
    check("unix:/run/app.sock", "socket /run/app.sock");
    check("unix:/run/app/the one.sock", "socket /run/app/the one.sock");
    for odd in [
        "",
        "app.sock",
        "//",
        "/",
        "/run/",
        "/run/../etc/app.sock",
        "/run/..",
    ] {
        check(&format!("unix:{odd}"), "Socket");
    }
    check("unix://run/app.sock", "socket //run/app.sock");
}

#[test]
fn anything_but_host_and_port_is_refused() {
    check("", "Form");
    check("orders:9000", "Form");
    check("ftp://orders", "Form");
    check("http://orders:0", "Form");
    check("http://orders:99999", "Form");
    check("http://orders:", "Form");
    check("http://orders/api", "Path");
    check("http://orders//", "Path");
    check("http://orders?x=1", "Path");
    check("http://orders/#x", "Path");
    check("http://orders#x", "Path");
    check("http://user:pass@orders", "Userinfo");
    check("http://or..ders", "Host");
    check("http://orders.", "Host");
    check("http://-orders", "Host");
}

#[test]
fn addresses_where_clouds_keep_credentials_are_refused() {
    check("http://169.254.169.254", "Forbidden");
    check("http://169.254.169.254:80", "Forbidden");
    check("http://[fe80::1]", "Forbidden");
    check("http://[::ffff:169.254.169.254]", "Forbidden");
    check("http://[fd00:ec2::254]", "Forbidden");
    check("http://0.0.0.0", "Forbidden");
    check("http://[::]", "Forbidden");
    check("http://224.0.0.1", "Forbidden");
    check("http://255.255.255.255", "Forbidden");
    check("http://2852039166", "Number");
    check("http://0xa9fea9fe", "Number");
    check("http://169.254.43518", "Number");
    check("http://0251.0376.0251.0376", "Number");
}
