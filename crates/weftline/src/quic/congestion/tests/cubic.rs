//! RFC 9438.

use super::*;

const C: f64 = 0.4;
const BETA: f64 = 0.7;

fn flow(rtt_ms: u64) -> Flow<Cubic> {
    Flow::new(Cubic::new, Duration::from_millis(rtt_ms))
}

/// Figure 1 and 2: segments `t` seconds after the window fell from `w_max` to `start`.
fn w_cubic(t: f64, w_max: f64, start: f64) -> f64 {
    let k = ((w_max - start) / C).cbrt();
    C * (t - k).powi(3) + w_max
}

/// The same for the Reno-friendly window (figure 4), round trip by round trip.
fn w_est(rounds: u32, w_max: f64, start: f64) -> f64 {
    let alpha = 3.0 * (1.0 - BETA) / (1.0 + BETA);
    (0..rounds).fold(start, |w, _| w + if w < w_max { alpha } else { 1.0 })
}

#[test]
fn a_loss_leaves_seven_tenths() {
    let mut flow = flow(100);
    flow.lose_at(1000);
    assert_close(flow.segments(), 700.0, 1e-3);
    assert_eq!(flow.controller.ssthresh(), Some(flow.window()));
}

#[test]
fn follows_the_curve() {
    let mut flow = flow(100);
    flow.lose_at(1000);
    let start = flow.now;
    // K is 9.09 s: concave up to there, convex after.
    for _ in 0..200 {
        flow.round();
        let t = flow.now.saturating_since(start).as_secs_f64();
        // The target is a round trip ahead, and reached a round trip later.
        assert_close(flow.segments(), w_cubic(t, 1000.0, 700.0), 0.02);
    }
}

#[test]
fn does_not_depend_on_the_round_trip() {
    for rtt in [40, 200] {
        let mut flow = flow(rtt);
        flow.lose_at(5000);
        flow.rounds_for(Duration::from_secs(10));
        assert_close(flow.segments(), w_cubic(10.0, 5000.0, 3500.0), 0.02);
    }
}

#[test]
fn is_never_slower_than_reno() {
    let mut flow = flow(10);
    flow.lose_at(40);
    let mut rounds = 0;
    for _ in 0..10 {
        for _ in 0..30 {
            flow.round();
            rounds += 1;
        }
        let reno = w_est(rounds, 40.0, 28.0);
        assert!(
            flow.segments() > reno - 1.5,
            "{} after {rounds} rounds, {reno} at least",
            flow.segments()
        );
        let t = f64::from(rounds) * 0.01;
        let expected = reno.max(w_cubic(t, 40.0, 28.0));
        assert_close(flow.segments(), expected, 0.05);
    }
}

#[test]
fn fast_convergence_gives_up_the_old_peak() {
    let mut flow = flow(100);
    flow.lose_at(1000);
    flow.event(Cause::Loss);
    assert_close(flow.segments(), 490.0, 1e-3);
    // Lost at 700 below a peak of 1000: the new peak is 595.
    flow.rounds_for(Duration::from_secs(6));
    assert_close(flow.segments(), w_cubic(6.0, 595.0, 490.0), 0.02);
}

#[test]
fn a_step_is_half_a_window_at_most() {
    let mut flow = flow(100);
    flow.lose_at(100);
    let acked = flow.acked(flow.window());
    flow.controller.on_ack(&acked);
    let window = flow.window();
    assert!(window < 86_000);
    flow.now += Duration::from_secs(100);
    let acked = flow.acked(window);
    flow.controller.on_ack(&acked);
    assert_eq!(flow.window(), window + window / 2);
}

#[test]
fn time_without_data_does_not_count() {
    let mut flow = flow(100);
    flow.lose_at(1000);
    flow.rounds_for(Duration::from_secs(2));
    let window = flow.window();
    // Too little to send for a while, then nothing at all.
    for _ in 0..50 {
        flow.now += flow.rtt;
        let acked = Acked {
            app_limited: true,
            ..flow.acked(1200)
        };
        flow.controller.on_ack(&acked);
    }
    flow.now += Duration::from_secs(60);
    flow.controller.on_idle_restart(flow.now);
    assert_eq!(flow.window(), window);
    flow.rounds_for(Duration::from_secs(2));
    assert_close(flow.segments(), w_cubic(4.0, 1000.0, 700.0), 0.02);
}

#[test]
fn late_packets_bring_the_curve_back() {
    let mut flow = flow(100);
    flow.lose_at(1000);
    flow.rounds_for(Duration::from_secs(4));
    let (before, window) = (flow.controller.clone(), flow.window());
    flow.event(Cause::Loss);
    assert!(flow.window() < window);
    flow.controller.on_spurious_loss(flow.now);
    assert_eq!(flow.window(), window);
    assert_eq!(flow.controller.ssthresh(), before.ssthresh());
    flow.rounds_for(Duration::from_secs(2));
    assert_close(flow.segments(), w_cubic(6.1, 1000.0, 700.0), 0.02);
}

#[test]
fn persistent_congestion_starts_over() {
    let mut flow = flow(100);
    flow.lose_at(1000);
    flow.event(Cause::Persistent);
    assert_eq!(flow.window(), 2 * u64::from(MSS));
    flow.round();
    assert_eq!(
        flow.window(),
        4 * u64::from(MSS),
        "slow start up to ssthresh"
    );
}
