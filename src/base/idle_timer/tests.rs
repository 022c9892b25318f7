use std::future::poll_fn;

use jiff::Timestamp;

use super::*;

#[tokio::test]
async fn a_movement_starts_the_timeout_anew() {
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    let mut timer = IdleTimer::new(&clock, Duration::from_secs(10));
    let mut idle = async || poll_fn(|context| Poll::Ready(timer.poll_idle(context))).await;
    assert!(idle().await.is_pending());
    hand.advance(Duration::from_secs(9));
    assert!(idle().await.is_pending());
    hand.advance(Duration::from_secs(1));
    assert!(idle().await.is_ready());
    timer.moved();
    let mut idle = async || poll_fn(|context| Poll::Ready(timer.poll_idle(context))).await;
    assert!(idle().await.is_pending());
    hand.advance(Duration::from_secs(10));
    assert!(idle().await.is_ready());
}
