use alloc::{string::ToString, vec};

use super::*;
use crate::config::Limits;

fn settings(list: &[(u64, u64)]) -> Settings {
    let mut settings = Settings::new();
    for &(id, value) in list {
        settings.set(id, value);
    }
    settings
}

/// The settings of one of our own ends.
fn ours(dialects: &[Dialect]) -> Settings {
    settings(&dialect::settings(dialects, &Limits::default()))
}

fn as_client(local: &[Dialect], server: &Settings) -> Result<Dialect, &'static str> {
    let peer = Peer {
        settings: server,
        takes_datagrams: true,
    };
    choose_as_client(local, peer)
}

fn as_server(local: &[Dialect], head: &RequestHead, client: &Settings) -> Result<Dialect, Refusal> {
    let peer = Peer {
        settings: client,
        takes_datagrams: true,
    };
    choose_as_server(local, head, peer)
}

fn head(token: &str) -> RequestHead {
    RequestHead {
        method: "CONNECT".into(),
        protocol: Some(token.into()),
        ..RequestHead::default()
    }
}

/// Every set of dialects, the newest first.
fn subsets() -> impl Iterator<Item = Vec<Dialect>> {
    (0..16u8).map(|bits| {
        let picked = |&(n, _): &(usize, &Dialect)| bits & 1 << n != 0;
        Dialect::ALL
            .iter()
            .enumerate()
            .filter(picked)
            .map(|(_, d)| *d)
            .collect()
    })
}

#[test]
fn every_pair_of_ends_agrees() {
    let request = SessionRequest::new("example.org", "/");
    for client in subsets() {
        for server in subsets() {
            let newest = Dialect::ALL
                .iter()
                .copied()
                .find(|d| client.contains(d) && server.contains(d));
            let chosen = as_client(&client, &ours(&server));
            assert_eq!(chosen.ok(), newest, "{client:?} to {server:?}");
            let Ok(dialect) = chosen else { continue };
            let head = request_head(dialect, &request);
            assert!(is_session_request(&server, &head));
            assert_eq!(as_server(&server, &head, &ours(&client)), Ok(dialect));

            let limits = Limits::default();
            let (c, s) = (
                dialect::settings(&client, &limits),
                dialect::settings(&server, &limits),
            );
            let flow_control = has_flow_control(dialect, &c, &settings(&s));
            assert_eq!(flow_control, has_flow_control(dialect, &s, &settings(&c)));
            // A client whose list reaches past draft 02 sends its initial limits in any case.
            assert_eq!(flow_control, dialect != Dialect::Draft02);
        }
    }
}

/// What clients in the field send, the token of their request, and what we take it for.
#[test]
fn clients_in_the_field() {
    let draft02: &[(&str, &str)] = &[("sec-webtransport-http3-draft02", "1")];
    type Case<'a> = (
        &'a str,
        &'a [(u64, u64)],
        &'a str,
        &'a [(&'a str, &'a str)],
        Dialect,
        bool,
    );
    let cases: [Case<'_>; 10] = [
        (
            "Chromium",
            &[
                (0x1, 65536),
                (0x6, 16384),
                (0x7, 100),
                (0x33, 1),
                (0xffd277, 1),
                (0x2b60_3742, 1),
            ],
            "webtransport",
            draft02,
            Dialect::Draft02,
            false,
        ),
        (
            "Chromium with EnableWebTransportDraft07",
            &[
                (0x1, 65536),
                (0x33, 1),
                (0xffd277, 1),
                (0x2b60_3742, 1),
                (0xc671_706a, 16),
            ],
            "webtransport",
            draft02,
            Dialect::Draft07,
            false,
        ),
        (
            "Firefox 152",
            &[
                (0x1, 65536),
                (0x7, 20),
                (0x2b60_3742, 1),
                (0xffd277, 1),
                (0x33, 1),
                (0x8, 1),
            ],
            "webtransport",
            &[],
            Dialect::Draft02,
            false,
        ),
        (
            "Safari 26.4, as reported",
            &[(0x33, 1), (0x14e9_cd29, 1)],
            "webtransport",
            &[],
            Dialect::Draft13,
            false,
        ),
        (
            "Safari with limits of its own",
            &[
                (0x33, 1),
                (0x14e9_cd29, 1),
                (0x2b61, 1 << 20),
                (0x2b64, 100),
                (0x2b65, 100),
            ],
            "webtransport",
            &[],
            Dialect::Draft13,
            true,
        ),
        (
            "aioquic",
            &[
                (0x1, 4096),
                (0x7, 16),
                (0x8, 1),
                (0x21, 1),
                (0x33, 1),
                (0x2b60_3742, 1),
            ],
            "webtransport",
            &[],
            Dialect::Draft02,
            false,
        ),
        (
            "wtransport",
            &[
                (0x1, 0),
                (0x7, 0),
                (0x8, 1),
                (0x2b60_3742, 1),
                (0x33, 1),
                (0xc671_706a, 1),
            ],
            "webtransport",
            &[],
            Dialect::Draft07,
            false,
        ),
        (
            "webtransport-go",
            &[(0x33, 1), (0x2c7c_f000, 1)],
            "webtransport-h3",
            &[],
            Dialect::Draft16,
            false,
        ),
        (
            "pywebtransport",
            &[
                (0x8, 1),
                (0x33, 1),
                (0x2c7c_f000, 1),
                (0x2b61, 10 << 20),
                (0x2b64, 100),
                (0x2b65, 100),
            ],
            "webtransport-h3",
            &[],
            Dialect::Draft16,
            true,
        ),
        (
            "a client of draft 11, which declares nothing",
            &[(0x33, 1)],
            "webtransport",
            &[],
            Dialect::Draft07,
            false,
        ),
    ];
    let own = dialect::settings(Dialect::ALL, &Limits::default());
    for (name, list, token, fields, dialect, flow_control) in cases {
        let mut head = head(token);
        for (field, value) in fields {
            head.fields.push(field, value.to_string());
        }
        let peer = settings(list);
        assert_eq!(as_server(Dialect::ALL, &head, &peer), Ok(dialect), "{name}");
        assert_eq!(
            has_flow_control(dialect, &own, &peer),
            flow_control,
            "{name}"
        );
    }
}

/// What servers in the field send, and what our client then speaks.
#[test]
fn servers_in_the_field() {
    type Case<'a> = (&'a str, &'a [(u64, u64)], Dialect, bool);
    let cases: [Case<'_>; 6] = [
        (
            "quiche",
            &[
                (0x33, 1),
                (0xffd277, 1),
                (0x8, 1),
                (0x2b60_3742, 1),
                (0xc671_706a, 16),
            ],
            Dialect::Draft07,
            false,
        ),
        (
            "aioquic",
            &[
                (0x1, 4096),
                (0x7, 16),
                (0x8, 1),
                (0x21, 1),
                (0x33, 1),
                (0x2b60_3742, 1),
            ],
            Dialect::Draft02,
            false,
        ),
        (
            "webtransport-go",
            &[
                (0x2b60_3742, 1),
                (0x2c7c_f000, 1),
                (0x14e9_cd29, (1 << 62) - 1),
                (0x33, 1),
                (0x8, 1),
            ],
            Dialect::Draft16,
            false,
        ),
        (
            "wtransport",
            &[(0x8, 1), (0x2b60_3742, 1), (0x33, 1), (0xc671_706a, 1)],
            Dialect::Draft07,
            false,
        ),
        (
            "web-transport-proto",
            &[
                (0x8, 1),
                (0x33, 1),
                (0xffd277, 1),
                (0xc671_706a, 4),
                (0x2b60_3743, 4),
                (0x2b60_3742, 1),
            ],
            Dialect::Draft07,
            false,
        ),
        (
            "pywebtransport",
            &[
                (0x8, 1),
                (0x33, 1),
                (0x2c7c_f000, 1),
                (0x2b61, 10 << 20),
                (0x2b64, 100),
                (0x2b65, 100),
            ],
            Dialect::Draft16,
            true,
        ),
    ];
    let own = dialect::settings(Dialect::ALL, &Limits::default());
    for (name, list, dialect, flow_control) in cases {
        let peer = settings(list);
        assert_eq!(check_settings(Dialect::ALL, &peer), Ok(()), "{name}");
        assert_eq!(as_client(Dialect::ALL, &peer), Ok(dialect), "{name}");
        assert_eq!(
            has_flow_control(dialect, &own, &peer),
            flow_control,
            "{name}"
        );
    }
}

#[test]
fn what_a_server_lacks() {
    let lacks = |list: &[(u64, u64)]| as_client(Dialect::ALL, &settings(list)).unwrap_err();
    assert!(lacks(&[]).contains("a version in common"));
    assert!(lacks(&[(0x8, 1), (0x33, 1), (0x2c7c_f000, 0)]).contains("a version in common"));
    assert!(lacks(&[(0x33, 1), (0x2c7c_f000, 1)]).contains("extended CONNECT"));
    assert!(lacks(&[(0x8, 1), (0x2c7c_f000, 1)]).contains("HTTP datagrams"));
    assert!(lacks(&[(0x8, 1), (0x33, 0), (0x14e9_cd29, 1)]).contains("HTTP datagrams"));
    // Draft 02's setting stands for extended CONNECT, and the old datagram setting is its own.
    let old = settings(&[(0xffd277, 1), (0x2b60_3742, 1), (0x2c7c_f000, 1)]);
    assert_eq!(as_client(Dialect::ALL, &old), Ok(Dialect::Draft02));

    let full = ours(Dialect::ALL);
    let without_frames = Peer {
        settings: &full,
        takes_datagrams: false,
    };
    let lacks = choose_as_client(Dialect::ALL, without_frames).unwrap_err();
    assert!(lacks.contains("max_datagram_frame_size"));
}

#[test]
fn requests_a_server_refuses() {
    let full = ours(Dialect::ALL);
    assert_eq!(
        as_server(&[Dialect::Draft16], &head("webtransport"), &full),
        Err(Refusal::Unsupported)
    );
    assert_eq!(
        as_server(&[Dialect::Draft02], &head("webtransport-h3"), &full),
        Err(Refusal::Unsupported)
    );
    assert_eq!(
        as_server(&[], &head("webtransport"), &full),
        Err(Refusal::Unsupported)
    );

    let no_datagrams = settings(&[(0x2c7c_f000, 1)]);
    let request = head("webtransport-h3");
    assert_eq!(
        as_server(Dialect::ALL, &request, &no_datagrams),
        Err(Refusal::Malformed)
    );
    let peer = Peer {
        settings: &full,
        takes_datagrams: false,
    };
    assert_eq!(
        choose_as_server(Dialect::ALL, &request, peer),
        Err(Refusal::Malformed)
    );

    assert!(!is_session_request(Dialect::ALL, &head("websocket")));
    assert!(!is_session_request(
        &[Dialect::Draft16],
        &head("webtransport")
    ));
    let mut get = head("webtransport");
    get.method = "GET".into();
    assert!(!is_session_request(Dialect::ALL, &get));
}

#[test]
fn settings_with_illegal_values() {
    for id in [0x2b60_3742, 0x2c7c_f000] {
        let fault = check_settings(Dialect::ALL, &settings(&[(id, 2)])).unwrap_err();
        assert!(matches!(fault, Fault::Http { code: 0x109, .. }));
        assert_eq!(
            check_settings(&[Dialect::Draft13], &settings(&[(id, 2)])),
            Ok(())
        );
    }
}

#[test]
fn heads_of_every_dialect() {
    let request = SessionRequest::new("example.org:4433", "/chat?x=1")
        .protocol("moq-00")
        .protocol("a \"b\"")
        .field("X-App", "1");
    for &dialect in Dialect::ALL {
        let head = request_head(dialect, &request);
        assert_eq!(head.method, "CONNECT");
        assert_eq!(head.scheme.as_deref(), Some("https"));
        assert_eq!(head.authority.as_deref(), Some("example.org:4433"));
        assert_eq!(head.path.as_deref(), Some("/chat?x=1"));
        assert_eq!(head.protocol.as_deref(), Some(dialect.rules().token));
        assert_eq!(head.fields.get("x-app"), Some(&b"1"[..]));
        let list = head.fields.get("wt-available-protocols");
        assert_eq!(list, Some(&br#""moq-00", "a \"b\"""#[..]));
        assert_eq!(offered_protocols(&head), request.protocols);

        let is_02 = dialect == Dialect::Draft02;
        let mark = head.fields.get("sec-webtransport-http3-draft02");
        assert_eq!(mark, is_02.then_some(&b"1"[..]));
        let origin = head.fields.get("origin");
        assert_eq!(origin, is_02.then_some(&b"https://example.org:4433"[..]));

        let response = response_head(&head, Some("moq-00"), &Fields::new()).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.fields.get("wt-protocol"), Some(&b"\"moq-00\""[..]));
        let mark = response.fields.get("sec-webtransport-http3-draft");
        assert_eq!(mark, is_02.then_some(&b"draft02"[..]));
        assert!(response_head(&head, Some("moq-01"), &Fields::new()).is_err());
    }
    let own = SessionRequest::new("a", "/").origin("https://b");
    let head = request_head(Dialect::Draft02, &own);
    assert!(head.fields.get_all("origin").eq([b"https://b"]));
    assert_eq!(head.fields.get("wt-available-protocols"), None);
}

#[test]
fn illegal_requests() {
    let check = |request: SessionRequest| check_request(&request).is_err();
    let good = || SessionRequest::new("a", "/");
    assert!(!check(good().protocol("x").protocol("y")));
    assert!(check(SessionRequest::new("", "/")));
    assert!(check(SessionRequest::new("a", "b")));
    assert!(check(good().protocol("")));
    assert!(check(good().protocol("é")));
    assert!(check(good().protocol("x\r\n")));
    assert!(check(good().protocol("x").protocol("x")));
    assert!(check(good().protocol("x".repeat(513))));
    assert!(!check(good().protocol("x".repeat(512))));
    let mut many = good();
    many.protocols = (0..65).map(|n| n.to_string()).collect();
    assert!(check(many));
}

#[test]
fn offers_that_are_malformed_are_none() {
    let mut request = head("webtransport-h3");
    request.fields.push("wt-available-protocols", "\"a\", 1");
    assert_eq!(offered_protocols(&request), Vec::<String>::new());
    let mut request = head("webtransport-h3");
    request.fields.push("wt-available-protocols", "a;q=1");
    request.fields.push("wt-available-protocols", "\"b\"");
    assert_eq!(offered_protocols(&request), ["a", "b"]);
}

#[test]
fn the_chosen_protocol() {
    let response = |value: Option<&str>| {
        let mut fields = Fields::new();
        if let Some(value) = value {
            fields.push("wt-protocol", value.to_string());
        }
        ResponseHead {
            status: 200,
            fields,
        }
    };
    let offered = vec!["a".to_string(), "b".to_string()];
    let newest = Dialect::Draft16;
    for (value, chosen) in [
        (None, None),
        (Some("\"b\""), Some("b")),
        (Some("\"b\";x=1"), Some("b")),
        (Some("b"), Some("b")),
        (Some("7"), None),
        (Some("\"a\", \"b\""), None),
    ] {
        let got = chosen_protocol(newest, &offered, &response(value));
        assert_eq!(got, Ok(chosen.map(str::to_string)), "{value:?}");
    }
    let other = response(Some("\"c\""));
    assert_eq!(chosen_protocol(newest, &offered, &other), Err(NotOffered));
    assert_eq!(
        chosen_protocol(Dialect::Draft13, &offered, &other),
        Ok(None)
    );
    assert_eq!(chosen_protocol(newest, &[], &other), Ok(None));
}

#[test]
fn exporter_contexts() {
    let session = StreamId::from_u64(4);
    let context = exporter_context(session, b"mylabel", b"ctx").unwrap();
    let vector = b"\0\0\0\0\0\0\0\x04\x07mylabel\x03ctx";
    assert_eq!(context, vector);
    assert!(exporter_context(session, b"", b"ctx").is_none());
    assert!(exporter_context(session, &[b'x'; 256], b"").is_none());
    assert!(exporter_context(session, b"x", &[0; 256]).is_none());
    assert!(exporter_context(session, &[b'x'; 255], &[0; 255]).is_some());
}
