//! Figures, for programs and for people.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

/// What a run came to.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) fields: Map<String, Value>,
    /// Lines for people.
    pub(super) text: Vec<String>,
}

/// How long things took, to three digits.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    micros: Histogram<u64>,
}

impl Figures {
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.into(), value.into());
    }

    pub(super) fn say(&mut self, line: impl Into<String>) {
        self.text.push(line.into());
    }

    /// So many of `what` in this time, as a count and a rate.
    pub(super) fn rate(&mut self, what: &str, count: u64, elapsed: Duration) {
        let rate = per_second(count, elapsed);
        self.set(what, count);
        self.set("seconds", seconds(elapsed));
        self.set(&format!("{what}_per_second"), round(rate));
        let seconds = elapsed.as_secs_f64();
        self.say(format!(
            "{count} {what} in {seconds:.2} s: {rate:.0} per second"
        ));
    }

    /// Bytes moved one way.
    pub(super) fn throughput(&mut self, way: &str, bytes: u64, elapsed: Duration) {
        let mbit = per_second(bytes, elapsed) * 8.0 / 1e6;
        let figures = json!({
            "bytes": bytes,
            "seconds": seconds(elapsed),
            "mbit_per_second": round(mbit),
        });
        self.set(way, figures);
        let seconds = elapsed.as_secs_f64();
        self.say(format!(
            "{way}: {bytes} bytes in {seconds:.2} s: {mbit:.1} Mbit/s"
        ));
    }

    pub(super) fn latencies(&mut self, latencies: &Latencies) {
        let micros = &latencies.micros;
        let at = |quantile| micros.value_at_quantile(quantile);
        let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), micros.max());
        let figures =
            json!({"p50": p50, "p90": p90, "p99": p99, "max": max, "mean": round(micros.mean())});
        self.set("latency_us", figures);
        self.say(format!(
            "latency: p50 {p50} us, p90 {p90} us, p99 {p99} us, max {max} us"
        ));
    }

    pub(super) fn losses(&mut self, (lost, sent): (u64, u64)) {
        self.set("packets_sent", sent);
        self.set("packets_lost", lost);
        self.say(format!("{lost} of {sent} packets lost"));
    }
}

impl Latencies {
    pub(super) fn new() -> Self {
        // One microsecond to an hour; the arguments are legal.
        let micros = Histogram::new_with_bounds(1, HOUR_MICROS, 3);
        Self {
            micros: micros.unwrap_or_else(|_| unreachable!("legal bounds")),
        }
    }

    pub(super) fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.saturating_record(micros);
    }

    /// All of them together.
    pub(super) fn merged(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::new();
        for part in parts {
            all.micros += part.micros;
        }
        all
    }

    pub(super) fn count(&self) -> u64 {
        self.micros.len()
    }
}

pub(super) fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-6)
}

pub(super) fn seconds(elapsed: Duration) -> f64 {
    round(elapsed.as_secs_f64())
}

/// To three decimals.
pub(super) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

const HOUR_MICROS: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_quantiles_of_all_parts() {
        let mut parts = [Latencies::new(), Latencies::new()];
        for micros in 1..=100 {
            parts[micros as usize % 2].record(Duration::from_micros(micros));
        }
        let all = Latencies::merged(parts);
        assert_eq!(all.count(), 100);
        let mut figures = Figures::default();
        figures.latencies(&all);
        let expected = json!({"p50": 50, "p90": 90, "p99": 99, "max": 100, "mean": 50.5});
        assert_eq!(figures.fields["latency_us"], expected);
    }

    #[test]
    fn out_of_range_is_the_end_of_the_range() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::MAX);
        assert_eq!(latencies.count(), 2);
    }

    #[test]
    fn rates() {
        let mut figures = Figures::default();
        figures.rate("requests", 500, Duration::from_millis(250));
        assert_eq!(figures.fields["requests_per_second"], 2000.0);
        figures.throughput("upload", 1_000_000, Duration::from_secs(2));
        assert_eq!(figures.fields["upload"]["mbit_per_second"], 4.0);
        assert_eq!(figures.text.len(), 2);
    }
}
