use proptest::prelude::*;

use super::*;

fn encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(text, &mut out);
    assert_eq!(encoded_len(text), out.len());
    out
}

fn decoded(input: &[u8]) -> Result<Vec<u8>, HuffmanError> {
    let mut out = Vec::new();
    decode(input, &mut out).map(|()| out)
}

/// Bit by bit, comparing with every code.
fn model(input: &[u8]) -> Result<Vec<u8>, HuffmanError> {
    let bits = input
        .iter()
        .flat_map(|b| (0..8).rev().map(move |i| b >> i & 1));
    let (mut out, mut code, mut len) = (Vec::new(), 0_u32, 0);
    for bit in bits {
        code = code << 1 | u32::from(bit);
        len += 1;
        if let Some(symbol) = CODES.iter().position(|c| (c.code, c.len) == (code, len)) {
            out.push(u8::try_from(symbol).map_err(|_| HuffmanError)?);
            (code, len) = (0, 0);
        }
    }
    if len < 8 && code == (1 << len) - 1 {
        Ok(out)
    } else {
        Err(HuffmanError)
    }
}

#[test]
fn published_codes() {
    // From RFC 7541, appendix B.
    let codes = [
        (b'0', 0x0, 5),
        (b'a', 0x3, 5),
        (b' ', 0x14, 6),
        (b':', 0x5c, 7),
        (b'&', 0xf8, 8),
        (b'Z', 0xfd, 8),
        (b'!', 0x3f8, 10),
        (b'\'', 0x7fa, 11),
        (b'#', 0xffa, 12),
        (b'~', 0x1ffd, 13),
        (b'^', 0x3ffc, 14),
        (b'<', 0x7ffc, 15),
        (b'\\', 0x7fff0, 19),
        (0, 0x1ff8, 13),
        (1, 0x7fffd8, 23),
        (10, 0x3ffffffc, 30),
        (249, 0xffffffe, 28),
        (255, 0x3ffffee, 26),
    ];
    for (byte, code, len) in codes {
        let found = code_of(byte);
        assert_eq!((found.code, found.len), (code, len), "{byte}");
    }
    let eos = CODES[usize::from(EOS)];
    assert_eq!((eos.code, eos.len), (0x3fff_ffff, 30));
}

#[test]
fn vectors() {
    // RFC 7541, appendix C.4 and C.6, and others computed from its appendix B.
    let vectors: [(&str, &str); 17] = [
        ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        ("no-cache", "a8eb10649cbf"),
        ("custom-key", "25a849e95ba97d7f"),
        ("custom-value", "25a849e95bb8e8b4bf"),
        ("302", "6402"),
        ("307", "640eff"),
        ("private", "aec3771a4b"),
        (
            "Mon, 21 Oct 2013 20:13:21 GMT",
            "d07abe941054d444a8200595040b8166e082a62d1bff",
        ),
        (
            "https://www.example.com",
            "9d29ad171863c78f0b97c8e9ae82ae43d3",
        ),
        ("gzip", "9bd9ab"),
        (
            "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        ),
        (":protocol", "b95d8749c87a3f"),
        ("webtransport", "f058d360ea4567b13f"),
        ("webtransport-h3", "f058d360ea4567b12b4ecf"),
        ("/wt", "63c27f"),
        ("wt-available-protocols", "f09587dc66a071d055abb0e9390f423f"),
        ("\"moq-00\"", "fe693f65800fe7"),
    ];
    for (text, hex) in vectors {
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        assert_eq!(encoded(text.as_bytes()), bytes, "{text}");
        assert_eq!(decoded(&bytes).unwrap(), text.as_bytes());
    }
    assert_eq!(decoded(b""), Ok(Vec::new()));
    assert_eq!(encoded(b""), b"");
}

#[test]
fn padding() {
    // '0' is 00000 and takes three bits of padding.
    assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
    for bad in 0..7 {
        assert_eq!(decoded(&[bad]).is_ok(), bad & 7 == 7, "{bad:#b}");
    }
    // Eight bits of padding are a byte too much, even all ones.
    assert_eq!(decoded(&[0xff]), Err(HuffmanError));
    assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(HuffmanError));
    // '&' is eight bits and takes none.
    assert_eq!(decoded(&[0xf8]), Ok(b"&".to_vec()));
    assert_eq!(decoded(&[0xf8, 0xff]), Err(HuffmanError));
}

#[test]
fn eos_is_an_error() {
    assert_eq!(decoded(&[0xff; 4]), Err(HuffmanError));
    assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc]), Err(HuffmanError));
    assert_eq!(decoded(&[0xff; 100]), Err(HuffmanError));
}

#[test]
fn every_byte_round_trips() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(decoded(&encoded(&all)), Ok(all));
    for byte in 0..=255 {
        assert_eq!(decoded(&encoded(&[byte])), Ok(alloc::vec![byte]));
    }
}

#[test]
fn every_short_input_agrees_with_the_model() {
    for a in 0..=255_u8 {
        assert_eq!(decoded(&[a]), model(&[a]));
        for b in (0..=255_u8).step_by(5) {
            assert_eq!(decoded(&[a, b]), model(&[a, b]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(text: Vec<u8>) {
        prop_assert_eq!(decoded(&encoded(&text)), Ok(text));
    }

    #[test]
    fn any_bytes_agree_with_the_model(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
        let ours = decoded(&bytes);
        if let Ok(text) = &ours {
            prop_assert!(text.len() <= bytes.len() * 8 / 5);
        }
        prop_assert_eq!(ours, model(&bytes));
    }

    /// Bytes with many ones reach the long codes and EOS.
    #[test]
    fn long_codes_agree_with_the_model(
        bytes in prop::collection::vec(prop_oneof![Just(0xff), any::<u8>()], 0..12),
    ) {
        prop_assert_eq!(decoded(&bytes), model(&bytes));
    }
}
