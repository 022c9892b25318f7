use super::*;

#[test]
fn a_standard_parser_reads_what_we_write() {
    let header = Challenge::bearer()
        .with("error", "insufficient_scope")
        .with("error_description", "say \"please\" \\ and\r\n wait")
        .into_header();
    let parsed: Vec<_> = http_auth::ChallengeParser::new(header.to_str().unwrap())
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(parsed.len(), 1);
    assert_eq!(parsed[0].scheme, "Bearer");
    let params: Vec<_> = parsed[0]
        .params
        .iter()
        .map(|(name, value)| (*name, value.to_unescaped()))
        .collect();
    assert_eq!(
        params,
        [
            ("error", "insufficient_scope".to_owned()),
            ("error_description", "say \"please\" \\ and wait".to_owned()),
        ]
    );
}
