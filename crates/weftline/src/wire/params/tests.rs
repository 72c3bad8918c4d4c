//! Transport parameters: a real client's, every bound, round trips.

use core::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};

use proptest::prelude::*;

use super::*;

/// Those of the ClientHello in RFC 9001, appendix A.
const RFC9001_CLIENT: [u8; 50] = [
    0x04, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x05, 0x04, 0x80, 0x00, 0xff, 0xff,
    0x07, 0x04, 0x80, 0x00, 0xff, 0xff, 0x08, 0x01, 0x10, 0x01, 0x04, 0x80, 0x00, 0x75, 0x30, 0x09,
    0x01, 0x10, 0x0f, 0x08, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0x06, 0x04, 0x80, 0x00,
    0xff, 0xff,
];

fn one(id: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, id, value);
    out
}

fn one_number(id: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, id, value);
    out
}

fn server(bytes: &[u8]) -> Result<TransportParameters, ParamsError> {
    TransportParameters::parse(bytes, Side::Server)
}

fn preferred_address(cid_len: u8) -> Vec<u8> {
    let mut value = std::vec![192, 0, 2, 1, 0x11, 0x51];
    value.extend([0; 18]);
    value.push(cid_len);
    value.extend(std::vec![3; usize::from(cid_len)]);
    value.extend([4; 16]);
    value
}

#[test]
fn rfc9001_client() {
    let params = TransportParameters::parse(&RFC9001_CLIENT, Side::Client).unwrap();
    let expected = TransportParameters {
        initial_max_data: varint::MAX,
        initial_max_stream_data_bidi_local: 0xffff,
        initial_max_stream_data_bidi_remote: 0xffff,
        initial_max_stream_data_uni: 0xffff,
        initial_max_streams_bidi: 16,
        initial_max_streams_uni: 16,
        max_idle_timeout_ms: 30_000,
        initial_source_connection_id: Cid::new(&[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 8]),
        ..TransportParameters::default()
    };
    assert_eq!(params, expected);
    assert_eq!(params.encode(None).len(), RFC9001_CLIENT.len());
}

#[test]
fn truncated_at_every_length() {
    // Between two parameters the end is no fault.
    let ends = [0, 10, 16, 22, 25, 31, 34, 44, 50];
    for end in 0..=RFC9001_CLIENT.len() {
        let result = TransportParameters::parse(&RFC9001_CLIENT[..end], Side::Client);
        assert_eq!(result.is_ok(), ends.contains(&end), "{end}");
    }
    for id in KNOWN {
        for len in 1..8 {
            let mut bytes = one(id, &std::vec![1; len]);
            bytes.pop();
            assert_eq!(server(&bytes), Err(cut(Truncated)), "{id:#x}");
        }
    }
}

#[test]
fn absent_is_default() {
    let params = server(&[]).unwrap();
    assert_eq!(params, TransportParameters::default());
    assert_eq!(params.max_udp_payload_size, 65_527);
    assert_eq!(
        (params.ack_delay_exponent, params.max_ack_delay_ms),
        (3, 25)
    );
    assert_eq!(params.active_connection_id_limit, 2);
    assert_eq!(params.encode(None), []);
}

#[test]
fn bounds() {
    let bounds = [
        (MAX_UDP_PAYLOAD_SIZE, 1200, 1199),
        (INITIAL_MAX_STREAMS_BIDI, 1 << 60, (1 << 60) + 1),
        (INITIAL_MAX_STREAMS_UNI, 1 << 60, (1 << 60) + 1),
        (ACK_DELAY_EXPONENT, 20, 21),
        (ACK_DELAY_EXPONENT, 0, 256 + 3),
        (MAX_ACK_DELAY, (1 << 14) - 1, 1 << 14),
        (MAX_ACK_DELAY, 0, 1 << 16),
        (ACTIVE_CONNECTION_ID_LIMIT, 2, 1),
    ];
    for (id, good, bad) in bounds {
        for side in [Side::Client, Side::Server] {
            assert!(TransportParameters::parse(&one_number(id, good), side).is_ok());
            assert!(TransportParameters::parse(&one_number(id, bad), side).is_err());
        }
    }
    for id in [MAX_UDP_PAYLOAD_SIZE, MAX_IDLE_TIMEOUT, INITIAL_MAX_DATA] {
        assert!(server(&one_number(id, varint::MAX)).is_ok());
    }
}

#[test]
fn values_of_a_wrong_form() {
    let numbers = [
        MAX_IDLE_TIMEOUT,
        MAX_UDP_PAYLOAD_SIZE,
        INITIAL_MAX_DATA,
        INITIAL_MAX_STREAM_DATA_BIDI_LOCAL,
        INITIAL_MAX_STREAM_DATA_BIDI_REMOTE,
        INITIAL_MAX_STREAM_DATA_UNI,
        INITIAL_MAX_STREAMS_BIDI,
        INITIAL_MAX_STREAMS_UNI,
        ACK_DELAY_EXPONENT,
        MAX_ACK_DELAY,
        ACTIVE_CONNECTION_ID_LIMIT,
        MAX_DATAGRAM_FRAME_SIZE,
    ];
    for id in numbers {
        // Nothing, a cut number, a byte too many.
        for value in [&[][..], &[0x40], &[0x50, 0, 0]] {
            let error = Err(ParamsError("a number is malformed"));
            assert_eq!(server(&one(id, value)), error, "{id:#x}");
        }
    }
    for id in [
        DISABLE_ACTIVE_MIGRATION,
        GREASE_QUIC_BIT,
        RESET_STREAM_AT,
        RESET_STREAM_AT_OLD,
    ] {
        assert!(server(&one(id, &[])).is_ok());
        let error = Err(ParamsError("a flag has a value"));
        assert_eq!(server(&one(id, &[0])), error);
    }
    for id in [
        ORIGINAL_DESTINATION_CONNECTION_ID,
        INITIAL_SOURCE_CONNECTION_ID,
        RETRY_SOURCE_CONNECTION_ID,
    ] {
        assert!(server(&one(id, &[])).is_ok());
        assert!(server(&one(id, &[1; 20])).is_ok());
        assert!(server(&one(id, &[1; 21])).is_err());
    }
    for len in [0, 15, 17] {
        assert!(server(&one(STATELESS_RESET_TOKEN, &std::vec![1; len])).is_err());
    }
}

#[test]
fn preferred_addresses() {
    let good = preferred_address(4);
    let params = server(&one(PREFERRED_ADDRESS, &good)).unwrap();
    let expected = PreferredAddress {
        ipv4: Some(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4433)),
        ipv6: None,
        cid: Cid::new(&[3; 4]).unwrap(),
        reset_token: ResetToken([4; 16]),
    };
    assert_eq!(params.preferred_address, Some(expected));
    assert_eq!(params.encode(None), one(PREFERRED_ADDRESS, &good));

    let error = Err(ParamsError("preferred_address is malformed"));
    for cid_len in [0, 21, 255] {
        let value = preferred_address(cid_len);
        assert_eq!(server(&one(PREFERRED_ADDRESS, &value)), error);
    }
    for end in 0..good.len() {
        assert_eq!(server(&one(PREFERRED_ADDRESS, &good[..end])), error);
    }
    let mut long = good.clone();
    long.push(0);
    assert_eq!(server(&one(PREFERRED_ADDRESS, &long)), error);

    // In either order: a server without connection IDs cannot have one.
    let (address, source) = (
        one(PREFERRED_ADDRESS, &good),
        one(INITIAL_SOURCE_CONNECTION_ID, &[]),
    );
    assert!(server(&[&address[..], &source].concat()).is_err());
    assert!(server(&[&source[..], &address].concat()).is_err());
}

#[test]
fn versions() {
    let parse = |versions: &[u32], side| {
        let value: Vec<u8> = versions.iter().flat_map(|v| v.to_be_bytes()).collect();
        TransportParameters::parse(&one(VERSION_INFORMATION, &value), side)
    };
    for (versions, by_client, by_server) in [
        (&[1, 1][..], true, true),
        (&[1, 0x6b33_43cf, 1], true, true),
        (&[1], false, true),
        (&[1, 2], false, true),
        (&[], false, false),
        (&[0, 0], false, false),
        (&[1, 1, 0], false, false),
    ] {
        assert_eq!(parse(versions, Side::Client).is_ok(), by_client);
        assert_eq!(parse(versions, Side::Server).is_ok(), by_server);
    }
    for len in [1, 3, 5, 6, 7] {
        assert!(server(&one(VERSION_INFORMATION, &std::vec![1; len])).is_err());
    }

    let read = parse(&[1, 5, 1], Side::Client).unwrap();
    let information = read.version_information.unwrap();
    assert_eq!(information, VersionInformation::new(1, [5, 1]));
    assert_eq!(information.available(), [5, 1]);

    // All are checked; the first are kept, and the chosen one.
    let mut many: Vec<u32> = (1..1000).collect();
    many.insert(0, 999);
    let read = parse(&many, Side::Client).unwrap();
    let information = read.version_information.unwrap();
    assert_eq!(information.chosen, 999);
    let (last, first) = information.available().split_last().unwrap();
    assert_eq!((first, *last), (&many[1..MAX_VERSIONS], 999));
    let encoded = read.encode(None);
    assert_eq!(TransportParameters::parse(&encoded, Side::Client), Ok(read));
}

#[test]
fn duplicates() {
    for id in KNOWN {
        let value = match id {
            STATELESS_RESET_TOKEN => std::vec![1; 16],
            PREFERRED_ADDRESS => preferred_address(4),
            VERSION_INFORMATION => std::vec![1; 8],
            MAX_UDP_PAYLOAD_SIZE => std::vec![0x7f, 0xff],
            DISABLE_ACTIVE_MIGRATION | GREASE_QUIC_BIT | RESET_STREAM_AT | RESET_STREAM_AT_OLD => {
                Vec::new()
            }
            _ => std::vec![2],
        };
        let once = one(id, &value);
        assert!(server(&once).is_ok(), "{id:#x}");
        let error = Err(ParamsError("a parameter appears twice"));
        assert_eq!(server(&once.repeat(2)), error, "{id:#x}");
        // The number may be spelt longer.
        if id < 0x40 {
            let mut again = once.clone();
            again.extend([0x40, id as u8]);
            again.extend(&once[1..]);
            assert_eq!(server(&again), error, "{id:#x}");
        }
    }
}

#[test]
fn of_servers_only() {
    let error = Err(ParamsError("a client sent a parameter of servers"));
    for (id, value) in [
        (ORIGINAL_DESTINATION_CONNECTION_ID, std::vec![1; 8]),
        (STATELESS_RESET_TOKEN, std::vec![1; 16]),
        (PREFERRED_ADDRESS, preferred_address(4)),
        (RETRY_SOURCE_CONNECTION_ID, std::vec![1; 8]),
    ] {
        let bytes = one(id, &value);
        assert!(server(&bytes).is_ok());
        assert_eq!(TransportParameters::parse(&bytes, Side::Client), error);
    }
}

#[test]
fn unknown_are_skipped() {
    let mut bytes = Vec::new();
    for n in 0..10_000 {
        put(&mut bytes, grease_id(n), b"grease");
        put(&mut bytes, grease_id(n), b"");
    }
    put_number(&mut bytes, INITIAL_MAX_DATA, 7);
    let expected = TransportParameters {
        initial_max_data: 7,
        ..TransportParameters::default()
    };
    assert_eq!(server(&bytes), Ok(expected));
    assert_eq!([0, 1, 2].map(grease_id), [0x1b, 0x3a, 0x59]);
}

#[test]
fn min_ack_delay_is_no_more_than_max_ack_delay() {
    let params = TransportParameters {
        min_ack_delay_us: Some(1000),
        ..TransportParameters::default()
    };
    let bytes = [0xc0, 0, 0, 0, 0xff, 0x04, 0xde, 0x1b, 2, 0x43, 0xe8];
    assert_eq!(params.encode(None), bytes);
    assert_eq!(server(&bytes), Ok(params));
    let with_max = |min: u64, max| {
        let params = TransportParameters {
            min_ack_delay_us: Some(min),
            max_ack_delay_ms: max,
            ..TransportParameters::default()
        };
        server(&params.encode(None)).is_ok()
    };
    assert!(with_max(25_000, 25) && with_max(0, 0));
    assert!(!with_max(25_001, 25) && !with_max(1, 0));
}

#[test]
fn reset_stream_at_has_two_numbers() {
    let params = TransportParameters {
        reset_stream_at: true,
        reset_stream_at_old: true,
        ..TransportParameters::default()
    };
    let bytes = [
        0x1d, 0, 0xc0, 0x17, 0xf7, 0x58, 0x6d, 0x2c, 0xb5, 0x71, 0, 0x1b, 1, 9,
    ];
    assert_eq!(params.encode(Some((grease_id(0), &[9]))), bytes);
    assert_eq!(server(&bytes), Ok(params));
}

fn any_cid() -> impl Strategy<Value = Cid> {
    proptest::collection::vec(any::<u8>(), 0..=20).prop_map(|bytes| Cid::new(&bytes).unwrap())
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..64_u64, 0..0x1_0000_u64, 0..=varint::MAX]
}

prop_compose! {
    fn any_preferred_address()(
        ipv4 in proptest::option::of((any::<[u8; 4]>(), 1_u16..)),
        ipv6 in proptest::option::of((any::<[u8; 16]>(), 1_u16..)),
        cid in any_cid(),
        reset_token: [u8; 16],
    ) -> PreferredAddress {
        PreferredAddress {
            ipv4: ipv4.map(|(ip, port)| SocketAddrV4::new(ip.into(), port)),
            ipv6: ipv6.map(|(ip, port)| SocketAddrV6::new(ip.into(), port, 0, 0)),
            cid: if cid.is_empty() { Cid::new(&[1]).unwrap() } else { cid },
            reset_token: ResetToken(reset_token),
        }
    }
}

prop_compose! {
    fn any_params()(
        cids in proptest::array::uniform3(proptest::option::of(any_cid())),
        token in proptest::option::of(any::<[u8; 16]>()),
        preferred_address in proptest::option::of(any_preferred_address()),
        numbers in proptest::array::uniform10(any_number()),
        exponent in 0..=20_u8,
        max_ack_delay_ms in 0..0x4000_u16,
        flags: [bool; 4],
        versions in proptest::option::of(proptest::collection::vec(1..u32::MAX, 1..=16)),
        min_ack_delay in proptest::option::of(any_number()),
    ) -> TransportParameters {
        let [original, initial, retry] = cids;
        let [idle, payload, data, local, remote, uni, bidi, streams_uni, ids, datagram] = numbers;
        let without_ids = initial == Some(Cid::EMPTY);
        TransportParameters {
            original_destination_connection_id: original,
            max_idle_timeout_ms: idle,
            stateless_reset_token: token.map(ResetToken),
            max_udp_payload_size: payload.max(1200),
            initial_max_data: data,
            initial_max_stream_data_bidi_local: local,
            initial_max_stream_data_bidi_remote: remote,
            initial_max_stream_data_uni: uni,
            initial_max_streams_bidi: bidi.min(1 << 60),
            initial_max_streams_uni: streams_uni.min(1 << 60),
            ack_delay_exponent: exponent,
            max_ack_delay_ms,
            disable_active_migration: flags[0],
            preferred_address: preferred_address.filter(|_| !without_ids),
            active_connection_id_limit: ids.max(2),
            initial_source_connection_id: initial,
            retry_source_connection_id: retry,
            max_datagram_frame_size: datagram,
            grease_quic_bit: flags[1],
            reset_stream_at: flags[2],
            reset_stream_at_old: flags[3],
            min_ack_delay_us: min_ack_delay
                .map(|delay| delay.min(u64::from(max_ack_delay_ms) * 1000)),
            version_information: versions.map(|all| VersionInformation::new(all[0], all)),
        }
    }
}

proptest! {
    #[test]
    fn round_trip(params in any_params(), grease in proptest::option::of(any::<(u32, [u8; 5])>())) {
        let grease = grease.as_ref().map(|(n, value)| (grease_id(*n), &value[..]));
        let bytes = params.encode(grease);
        prop_assert_eq!(server(&bytes), Ok(params));
    }

    #[test]
    fn arbitrary_bytes(
        bytes in proptest::collection::vec(prop_oneof![0..0x21_u8, any::<u8>()], 0..70),
        is_client: bool,
    ) {
        let side = if is_client { Side::Client } else { Side::Server };
        if let Ok(params) = TransportParameters::parse(&bytes, side) {
            prop_assert_eq!(TransportParameters::parse(&params.encode(None), side), Ok(params));
        }
    }
}
