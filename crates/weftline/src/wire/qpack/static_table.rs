//! The static table (RFC 9204, appendix A).

/// The name and value of entry `index`; `None` past the end.
pub fn get(index: u64) -> Option<(&'static str, &'static str)> {
    ENTRIES.get(usize::try_from(index).ok()?).copied()
}

/// Where a field is in the table.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// This entry has its name and value.
    Full(u8),
    /// This entry has its name.
    Name(u8),
}

/// Looks a field up.
pub fn find(name: &[u8], value: &[u8]) -> Option<Match> {
    let from = SORTED.partition_point(|&index| entry(index).0.as_bytes() < name);
    let mut same_name = SORTED
        .get(from..)?
        .iter()
        .copied()
        .take_while(|&index| entry(index).0.as_bytes() == name)
        .peekable();
    let first = *same_name.peek()?;
    let full = same_name.find(|&index| entry(index).1.as_bytes() == value);
    Some(full.map_or(Match::Name(first), Match::Full))
}

fn entry(index: u8) -> (&'static str, &'static str) {
    get(index.into()).unwrap_or_default()
}

/// The entries' indexes by name, and of one name by index.
static SORTED: [u8; ENTRIES.len()] = {
    let mut sorted = [0; ENTRIES.len()];
    let mut len = 0;
    while len < ENTRIES.len() {
        let mut at = len;
        while at > 0 && comes_before(ENTRIES[len].0, ENTRIES[sorted[at - 1] as usize].0) {
            sorted[at] = sorted[at - 1];
            at -= 1;
        }
        sorted[at] = len as u8;
        len += 1;
    }
    sorted
};

const fn comes_before(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] < b[at];
        }
        at += 1;
    }
    a.len() < b.len()
}

static ENTRIES: [(&str, &str); 99] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    (
        "strict-transport-security",
        "max-age=31536000; includesubdomains",
    ),
    (
        "strict-transport-security",
        "max-age=31536000; includesubdomains; preload",
    ),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    (
        "content-security-policy",
        "script-src 'none'; object-src 'none'; base-uri 'none'",
    ),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found() {
        for index in 0..99_u8 {
            let (name, value) = get(index.into()).unwrap();
            assert_eq!(
                find(name.as_bytes(), value.as_bytes()),
                Some(Match::Full(index))
            );
            let first = ENTRIES.iter().position(|&(n, _)| n == name).unwrap();
            assert_eq!(
                find(name.as_bytes(), b"no such"),
                Some(Match::Name(first as u8))
            );
            assert_eq!(find(&name.as_bytes()[1..], value.as_bytes()), None);
        }
        assert_eq!(get(99), None);
        assert_eq!(get(u64::MAX), None);
        assert_eq!(find(b"", b""), None);
        assert_eq!(find(b"zzz", b""), None);
    }

    #[test]
    fn landmarks() {
        let landmarks = [
            (0, ":authority", ""),
            (1, ":path", "/"),
            (15, ":method", "CONNECT"),
            (25, ":status", "200"),
            (
                57,
                "strict-transport-security",
                "max-age=31536000; includesubdomains",
            ),
            (72, "accept-language", ""),
            (
                85,
                "content-security-policy",
                "script-src 'none'; object-src 'none'; base-uri 'none'",
            ),
            (98, "x-frame-options", "sameorigin"),
        ];
        for (index, name, value) in landmarks {
            assert_eq!(get(index), Some((name, value)));
        }
    }
}
