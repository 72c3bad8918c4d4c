//! Every field of `config::Limits`: the attack it is there for, the bound, and the answer that its
//! documentation promises. Each test has the name of its field.

mod support;

#[path = "limits/endpoint.rs"]
mod endpoint;
#[path = "limits/http.rs"]
mod http;
#[path = "limits/memory.rs"]
mod memory;
#[path = "limits/packets.rs"]
mod packets;
#[path = "limits/sessions.rs"]
mod sessions;
#[path = "limits/streams.rs"]
mod streams;

/// No limit without a test.
#[test]
fn every_limit_is_crossed() {
    let limits = include_str!("../src/config/limits.rs");
    let tests = [
        include_str!("limits/endpoint.rs"),
        include_str!("limits/http.rs"),
        include_str!("limits/packets.rs"),
        include_str!("limits/sessions.rs"),
        include_str!("limits/streams.rs"),
    ];
    let (_, fields) = limits.split_once("pub struct Limits {").unwrap();
    let fields = fields.split_once("\n}").unwrap().0.lines();
    let fields = fields.filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let mut count = 0;
    for field in fields {
        let test = format!("#[test]\nfn {field}() {{");
        assert!(
            tests.iter().any(|file| file.contains(&test)),
            "{field} has no test"
        );
        count += 1;
    }
    assert!(count > 40, "{count}");
}
