use super::*;

#[test]
fn counts_show_in_the_exposition() {
    let metrics = Metrics::new(["grant_required"].into_iter(), ["completed"].into_iter());
    metrics.allowed.inc();
    metrics.refuse("grant_required");
    metrics.cut("completed");
    metrics.live_generation("old");
    metrics.live_generation("new");
    let text = metrics.expose();
    for line in [
        "portcullis_allowed_total 1",
        "portcullis_refusals_total{code=\"grant_required\"} 1",
        "portcullis_streams_cut_total{cause=\"completed\"} 1",
        "portcullis_policy_generation{generation=\"new\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("\"old\""));
}
