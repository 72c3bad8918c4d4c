//! The test vectors of RFC 9001, appendix A, and RFC 9369, appendix A.

use ring::aead::{self, quic as ring_quic};
use rustls::{
    CipherSuite,
    crypto::{
        cipher::{AeadKey, Iv},
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        tls13::{HkdfExpander, OkmBlock},
    },
    quic::Suite,
};
use weftline::{
    Side,
    crypto::{
        DirectionalKeys, HeaderKey, Keys, NextKeys, PacketKey, Provider, SAMPLE_LEN, TAG_LEN,
        Version,
    },
    wire::Cid,
};

use crate::{
    follow::{Labels, Secrets},
    keys::{Header, Packet},
    provider::RingProvider,
};

/// What one version of QUIC makes of the same connection.
struct Vectors {
    version: Version,
    client: InitialVectors,
    server: InitialVectors,
    retry: &'static str,
    chacha: ChachaVectors,
}

struct InitialVectors {
    key: &'static str,
    iv: &'static str,
    hp: &'static str,
    header: &'static str,
    sample: &'static str,
    mask: &'static str,
    packet: &'static str,
}

struct ChachaVectors {
    /// What the labels of HKDF begin with.
    label: &'static str,
    key: &'static str,
    iv: &'static str,
    hp: &'static str,
    ku: &'static str,
    sample: &'static str,
    mask: &'static str,
    packet: &'static str,
}

#[test]
fn initial_keys() {
    for vectors in [V1, V2] {
        let keys = |side| RingProvider.initial_keys(vectors.version, &dcid(), side);
        let (client, server) = (keys(Side::Client), keys(Side::Server));
        for (vectors, sends, receives) in [
            (&vectors.client, &client.local, &server.remote),
            (&vectors.server, &server.local, &client.remote),
        ] {
            for keys in [sends, receives] {
                assert_keys(keys, vectors);
            }
        }
    }
}

/// Compares with what ring does with the key, IV and header key of the RFC.
fn assert_keys(keys: &DirectionalKeys, vectors: &InitialVectors) {
    let sample: [u8; SAMPLE_LEN] = array(vectors.sample);
    let hp = ring_quic::HeaderProtectionKey::new(&ring_quic::AES_128, &unhex(vectors.hp)).unwrap();
    assert_eq!(keys.header.mask(&sample), used(array(vectors.mask)));
    assert_eq!(
        keys.header.mask(&sample),
        used(hp.new_mask(&sample).unwrap())
    );

    let key = aead::UnboundKey::new(&aead::AES_128_GCM, &unhex(vectors.key)).unwrap();
    let nonce = aead::Nonce::assume_unique_for_key(array(vectors.iv));
    let mut expected = b"payload".to_vec();
    aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce, aead::Aad::from(b"header"), &mut expected)
        .unwrap();
    let mut sealed = b"payload".to_vec();
    sealed.resize(sealed.len() + TAG_LEN, 0);
    keys.packet.seal(0, b"header", &mut sealed).unwrap();
    assert_eq!(sealed, expected);
}

#[test]
fn initial_packets() {
    let mut client_payload = unhex(CLIENT_CRYPTO);
    client_payload.resize(1162, 0);
    let server_payload = unhex(SERVER_PAYLOAD);
    for vectors in [V1, V2] {
        let keys = |side| RingProvider.initial_keys(vectors.version, &dcid(), side);
        let (client, server) = (keys(Side::Client), keys(Side::Server));
        let cases = [
            (
                &vectors.client,
                &client.local,
                &server.remote,
                &client_payload,
                2,
                4,
            ),
            (
                &vectors.server,
                &server.local,
                &client.remote,
                &server_payload,
                1,
                2,
            ),
        ];
        for (vectors, sends, receives, payload, packet_number, number_len) in cases {
            let packet = protect(
                (&*sends.header, &*sends.packet),
                &unhex(vectors.header),
                payload,
                (packet_number, number_len),
            );
            assert_eq!(packet, unhex(vectors.packet));
            assert_eq!(
                packet.len() - payload.len(),
                vectors.header.len() / 2 + TAG_LEN
            );

            let (header, body) = packet.split_at(vectors.header.len() / 2);
            let mut header = header.to_vec();
            let mut body = body.to_vec();
            let sample = sample_of(&body, number_len);
            apply_mask(&mut header, receives.header.mask(&sample), number_len);
            assert_eq!(header, unhex(vectors.header));
            let len = receives.packet.open(packet_number, &header, &mut body);
            assert_eq!(len, Ok(payload.len()));
            assert_eq!(body[..payload.len()], payload[..]);

            // A changed byte anywhere is noticed.
            for at in [0, header.len() - 1] {
                let mut changed = header.clone();
                changed[at] ^= 1;
                let mut body = packet[header.len()..].to_vec();
                assert!(
                    receives
                        .packet
                        .open(packet_number, &changed, &mut body)
                        .is_err()
                );
            }
        }
    }
}

#[test]
fn retry_tags() {
    for vectors in [V1, V2] {
        let packet = unhex(vectors.retry);
        let (packet, tag) = packet.split_at(packet.len() - TAG_LEN);
        assert_eq!(
            RingProvider.retry_tag(vectors.version, &dcid(), packet)[..],
            *tag
        );
    }
}

#[test]
fn chacha20_short_header() {
    let Suite { suite, quic } = TLS13_CHACHA20_POLY1305_SHA256
        .tls13()
        .unwrap()
        .quic_suite()
        .unwrap();
    for vectors in [V1.chacha, V2.chacha] {
        let secret = OkmBlock::new(&unhex(CHACHA_SECRET));
        let expander = suite.hkdf_provider.expander_for_okm(&secret);
        let label = |name: &str| format!("{}{name}", vectors.label);
        let key: [u8; 32] = expand_label(&*expander, &label("key"));
        let iv: [u8; 12] = expand_label(&*expander, &label("iv"));
        let hp: [u8; 32] = expand_label(&*expander, &label("hp"));
        let ku: [u8; 32] = expand_label(&*expander, &label("ku"));
        assert_eq!(key, array(vectors.key));
        assert_eq!(iv, array(vectors.iv));
        assert_eq!(hp, array(vectors.hp));
        assert_eq!(ku, array(vectors.ku));

        let header_key = Header(quic.header_protection_key(AeadKey::from(hp)));
        let packet_key = Packet(quic.packet_key(AeadKey::from(key), Iv::from(iv)));
        assert_eq!(
            header_key.mask(&array(vectors.sample)),
            used(array(vectors.mask))
        );
        let packet = protect(
            (&header_key, &packet_key),
            &unhex("4200bff4"),
            &[0x01],
            (654_360_564, 3),
        );
        assert_eq!(packet, unhex(vectors.packet));
        // RFC 9001, section 6.6.
        assert_eq!(packet_key.integrity_limit(), 1 << 36);
    }
}

/// What a client makes of the secrets itself when its server goes over to another version.
#[test]
fn chacha20_short_header_of_a_version_followed() {
    for vectors in [V1, V2] {
        let Vectors {
            version, chacha, ..
        } = vectors;
        let secrets = |secret: &str| {
            let okm = OkmBlock::new(&unhex(secret));
            let suite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
            Secrets::new(Labels::of(version).unwrap(), suite, &okm, &okm).unwrap()
        };
        let mut first = secrets(CHACHA_SECRET);
        let Keys { local, remote } = first.keys();
        for keys in [local, remote] {
            let mask = keys.header.mask(&array(chacha.sample));
            assert_eq!(used(mask), used(array(chacha.mask)));
            let packet = protect(
                (&*keys.header, &*keys.packet),
                &unhex("4200bff4"),
                &[0x01],
                (654_360_564, 3),
            );
            assert_eq!(packet, unhex(chacha.packet));
        }
        // The next key phase is that of the RFC's next secret.
        let next = first.next();
        let expected = secrets(chacha.ku).keys();
        let sealed = |key: &dyn PacketKey| {
            let mut buf = [7; 30 + TAG_LEN];
            key.seal(1, b"header", &mut buf).unwrap();
            buf
        };
        assert_eq!(sealed(&*next.local), sealed(&*expected.local.packet));
        assert_eq!(sealed(&*next.remote), sealed(&*expected.remote.packet));
    }
}

#[test]
fn limits_of_aes() {
    let keys = RingProvider.initial_keys(Version::V1, &dcid(), Side::Client);
    assert_eq!(keys.local.packet.confidentiality_limit(), 1 << 23);
    assert_eq!(keys.local.packet.integrity_limit(), 1 << 52);
}

#[test]
fn short_buffers_are_refused() {
    let keys = RingProvider.initial_keys(Version::V1, &dcid(), Side::Client);
    for len in 0..TAG_LEN {
        assert!(keys.local.packet.seal(0, b"", &mut vec![0; len]).is_err());
        assert!(keys.remote.packet.open(0, b"", &mut vec![0; len]).is_err());
    }
}

fn protect(
    (header_key, packet_key): (&dyn HeaderKey, &dyn PacketKey),
    header: &[u8],
    payload: &[u8],
    (packet_number, number_len): (u64, usize),
) -> Vec<u8> {
    let mut header = header.to_vec();
    let mut body = payload.to_vec();
    body.resize(payload.len() + TAG_LEN, 0);
    packet_key.seal(packet_number, &header, &mut body).unwrap();
    let mask = header_key.mask(&sample_of(&body, number_len));
    apply_mask(&mut header, mask, number_len);
    [header, body].concat()
}

/// RFC 9001, section 5.4.2: as if the packet number had four bytes.
fn sample_of(body: &[u8], number_len: usize) -> [u8; SAMPLE_LEN] {
    body[4 - number_len..][..SAMPLE_LEN].try_into().unwrap()
}

/// RFC 9001, section 5.4.1.
fn apply_mask(header: &mut [u8], mask: [u8; 5], number_len: usize) {
    let bits = if header[0] & 0x80 == 0 { 0x1f } else { 0x0f };
    header[0] ^= mask[0] & bits;
    let at = header.len() - number_len;
    for (byte, mask) in header[at..].iter_mut().zip(&mask[1..]) {
        *byte ^= mask;
    }
}

/// The bits of a mask that any packet uses, which are all that we give.
fn used(mut mask: [u8; 5]) -> [u8; 5] {
    mask[0] &= 0x1f;
    mask
}

/// HKDF-Expand-Label (RFC 8446, section 7.1) without context.
fn expand_label<const N: usize>(expander: &dyn HkdfExpander, label: &str) -> [u8; N] {
    let label = format!("tls13 {label}");
    let mut out = [0; N];
    expander
        .expand_slice(
            &[
                &(N as u16).to_be_bytes(),
                &[label.len() as u8],
                label.as_bytes(),
                &[0],
            ],
            &mut out,
        )
        .unwrap();
    out
}

fn dcid() -> Cid {
    Cid::new(&unhex("8394c8f03e515708")).unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else {
        panic!("odd hex");
    };
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    pairs
        .iter()
        .map(|[high, low]| digit(*high) << 4 | digit(*low))
        .collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    unhex(hex).try_into().unwrap()
}

const V1: Vectors = Vectors {
    version: Version::V1,
    client: InitialVectors {
        key: "1f369613dd76d5467730efcbe3b1a22d",
        iv: "fa044b2f42a3fd3b46fb255c",
        hp: "9f50449e04a0e810283a1e9933adedd2",
        header: "c300000001088394c8f03e5157080000449e00000002",
        sample: "d1b1c98dd7689fb8ec11d242b123dc9b",
        mask: "437b9aec36",
        packet: V1_CLIENT_PACKET,
    },
    server: InitialVectors {
        key: "cf3a5331653c364c88f0f379b6067e37",
        iv: "0ac1493ca1905853b0bba03e",
        hp: "c206b8d9b9f0f37644430b490eeaa314",
        header: "c1000000010008f067a5502a4262b50040750001",
        sample: "2cd0991cd25b0aac406a5816b6394100",
        mask: "2ec0d8356a",
        packet: V1_SERVER_PACKET,
    },
    retry: "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba",
    chacha: ChachaVectors {
        label: "quic ",
        key: "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8",
        iv: "e0459b3474bdd0e44a41c144",
        hp: "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
        ku: "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9",
        sample: "5e5cd55c41f69080575d7999c25a5bfb",
        mask: "aefefe7d03",
        packet: "4cfe4189655e5cd55c41f69080575d7999c25a5bfb",
    },
};

const V2: Vectors = Vectors {
    version: Version::V2,
    client: InitialVectors {
        key: "8b1a0bc121284290a29e0971b5cd045d",
        iv: "91f73e2351d8fa91660e909f",
        hp: "45b95e15235d6f45a6b19cbcb0294ba9",
        header: "d36b3343cf088394c8f03e5157080000449e00000002",
        sample: "ffe67b6abcdb4298b485dd04de806071",
        mask: "94a0c95e80",
        packet: V2_CLIENT_PACKET,
    },
    server: InitialVectors {
        key: "82db637861d55e1d011f19ea71d5d2a7",
        iv: "dd13c276499c0249d3310652",
        hp: "edf6d05c83121201b436e16877593c3a",
        header: "d16b3343cf0008f067a5502a4262b50040750001",
        sample: "6f05d8a4398c47089698baeea26b91eb",
        mask: "4dd92e91ea",
        packet: V2_SERVER_PACKET,
    },
    retry: "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6",
    chacha: ChachaVectors {
        label: "quicv2 ",
        key: "3bfcddd72bcf02541d7fa0dd1f5f9eeea817e09a6963a0e6c7df0f9a1bab90f2",
        iv: "a6b5bc6ab7dafce30ffff5dd",
        hp: "d659760d2ba434a226fd37b35c69e2da8211d10c4f12538787d65645d5d1b8e2",
        ku: "c69374c49e3d2a9466fa689e49d476db5d0dfbc87d32ceeaa6343fd0ae4c7d88",
        sample: "e7b6b932bc27d786f4bc2bb20f2162ba",
        mask: "97580e32bf",
        packet: "5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba",
    },
};

const CHACHA_SECRET: &str = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b";

/// The client's CRYPTO frame; PADDING follows it.
const CLIENT_CRYPTO: &str = "\
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413\
    011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d001700180010\
    0007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171\
    fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d000201\
    01001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f\
    088394c8f03e51570806048000ffff";

/// The server's ACK and CRYPTO frames.
const SERVER_PAYLOAD: &str = "\
    02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a\
    1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da\
    1a002b00020304";

/// RFC 9001, appendix A.3.
const V1_SERVER_PACKET: &str = "\
    cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c6979755478\
    0bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562b\
    fb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee";

/// RFC 9369, appendix A.3.
const V2_SERVER_PACKET: &str = "\
    dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237bbf87\
    263017915358230035f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507\
    698075b2c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140";

/// RFC 9001, appendix A.2.
const V1_CLIENT_PACKET: &str = "\
    c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec\
    356c0bab7df5976d27cd449f63300099f3991c260ec4c60d17b31f8429157bb35a1282a643a8d2262cad67500cad\
    b8e7378c8eb7539ec4d4905fed1bee1fc8aafba17c750e2c7ace01e6005f80fcb7df621230c83711b39343fa028c\
    ea7f7fb5ff89eac2308249a02252155e2347b63d58c5457afd84d05dfffdb20392844ae812154682e9cf012f9021\
    a6f0be17ddd0c2084dce25ff9b06cde535d0f920a2db1bf362c23e596d11a4f5a6cf3948838a3aec4e15daf8500a\
    6ef69ec4e3feb6b1d98e610ac8b7ec3faf6ad760b7bad1db4ba3485e8a94dc250ae3fdb41ed15fb6a8e5eba0fc3d\
    d60bc8e30c5c4287e53805db059ae0648db2f64264ed5e39be2e20d82df566da8dd5998ccabdae053060ae6c7b43\
    78e846d29f37ed7b4ea9ec5d82e7961b7f25a9323851f681d582363aa5f89937f5a67258bf63ad6f1a0b1d96dbd4\
    faddfcefc5266ba6611722395c906556be52afe3f565636ad1b17d508b73d8743eeb524be22b3dcbc2c7468d5411\
    9c7468449a13d8e3b95811a198f3491de3e7fe942b330407abf82a4ed7c1b311663ac69890f4157015853d91e923\
    037c227a33cdd5ec281ca3f79c44546b9d90ca00f064c99e3dd97911d39fe9c5d0b23a229a234cb36186c4819e8b\
    9c5927726632291d6a418211cc2962e20fe47feb3edf330f2c603a9d48c0fcb5699dbfe5896425c5bac4aee82e57\
    a85aaf4e2513e4f05796b07ba2ee47d80506f8d2c25e50fd14de71e6c418559302f939b0e1abd576f279c4b2e0fe\
    b85c1f28ff18f58891ffef132eef2fa09346aee33c28eb130ff28f5b766953334113211996d20011a198e3fc433f\
    9f2541010ae17c1bf202580f6047472fb36857fe843b19f5984009ddc324044e847a4f4a0ab34f719595de37252d\
    6235365e9b84392b061085349d73203a4a13e96f5432ec0fd4a1ee65accdd5e3904df54c1da510b0ff20dcc0c77f\
    cb2c0e0eb605cb0504db87632cf3d8b4dae6e705769d1de354270123cb11450efc60ac47683d7b8d0f811365565f\
    d98c4c8eb936bcab8d069fc33bd801b03adea2e1fbc5aa463d08ca19896d2bf59a071b851e6c239052172f296bfb\
    5e72404790a2181014f3b94a4e97d117b438130368cc39dbb2d198065ae3986547926cd2162f40a29f0c3c8745c0\
    f50fba3852e566d44575c29d39a03f0cda721984b6f440591f355e12d439ff150aab7613499dbd49adabc8676eef\
    023b15b65bfc5ca06948109f23f350db82123535eb8a7433bdabcb909271a6ecbcb58b936a88cd4e8f2e6ff58001\
    75f113253d8fa9ca8885c2f552e657dc603f252e1a8e308f76f0be79e2fb8f5d5fbbe2e30ecadd220723c8c0aea8\
    078cdfcb3868263ff8f0940054da48781893a7e49ad5aff4af300cd804a6b6279ab3ff3afb64491c85194aab760d\
    58a606654f9f4400e8b38591356fbf6425aca26dc85244259ff2b19c41b9f96f3ca9ec1dde434da7d2d392b905dd\
    f3d1f9af93d1af5950bd493f5aa731b4056df31bd267b6b90a079831aaf579be0a39013137aac6d404f518cfd468\
    40647e78bfe706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e\
    194cd934";

/// RFC 9369, appendix A.2.
const V2_CLIENT_PACKET: &str = "\
    d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03dceebfa162e7\
    5d6c96058bdbfb127cdfcbf903388e99ad049f9a3dd4425ae4d0992cfff18ecf0fdb5a842d09747052f17ac2053d\
    21f57c5d250f2c4f0e0202b70785b7946e992e58a59ac52dea6774d4f03b55545243cf1a12834e3f249a78d395e0\
    d18f4d766004f1a2674802a747eaa901c3f10cda5500cb9122faa9f1df66c392079a1b40f0de1c6054196a11cbea\
    40afb6ef5253cd6818f6625efce3b6def6ba7e4b37a40f7732e093daa7d52190935b8da58976ff3312ae50b187c1\
    433c0f028edcc4c2838b6a9bfc226ca4b4530e7a4ccee1bfa2a3d396ae5a3fb512384b2fdd851f784a65e03f2c4f\
    be11a53c7777c023462239dd6f7521a3f6c7d5dd3ec9b3f233773d4b46d23cc375eb198c63301c21801f6520bcfb\
    7966fc49b393f0061d974a2706df8c4a9449f11d7f3d2dcbb90c6b877045636e7c0c0fe4eb0f697545460c806910\
    d2c355f1d253bc9d2452aaa549e27a1fac7cf4ed77f322e8fa894b6a83810a34b361901751a6f5eb65a0326e07de\
    7c1216ccce2d0193f958bb3850a833f7ae432b65bc5a53975c155aa4bcb4f7b2c4e54df16efaf6ddea94e2c50b4c\
    d1dfe06017e0e9d02900cffe1935e0491d77ffb4fdf85290fdd893d577b1131a610ef6a5c32b2ee0293617a37cbb\
    08b847741c3b8017c25ca9052ca1079d8b78aebd47876d330a30f6a8c6d61dd1ab5589329de714d19d61370f8149\
    748c72f132f0fc99f34d766c6938597040d8f9e2bb522ff99c63a344d6a2ae8aa8e51b7b90a4a806105fcbca3150\
    6c446151adfeceb51b91abfe43960977c87471cf9ad4074d30e10d6a7f03c63bd5d4317f68ff325ba3bd80bf4dc8\
    b52a0ba031758022eb025cdd770b44d6d6cf0670f4e990b22347a7db848265e3e5eb72dfe8299ad7481a408322ca\
    c55786e52f633b2fb6b614eaed18d703dd84045a274ae8bfa73379661388d6991fe39b0d93debb41700b41f90a15\
    c4d526250235ddcd6776fc77bc97e7a417ebcb31600d01e57f32162a8560cacc7e27a096d37a1a86952ec71bd89a\
    3e9a30a2a26162984d7740f81193e8238e61f6b5b984d4d3dfa033c1bb7e4f0037febf406d91c0dccf32acf423cf\
    a1e7071010d3f270121b493ce85054ef58bada42310138fe081adb04e2bd901f2f13458b3d6758158197107c14eb\
    b193230cd1157380aa79cae1374a7c1e5bbcb80ee23e06ebfde206bfb0fcbc0edc4ebec309661bdd908d532eb0c6\
    adc38b7ca7331dce8dfce39ab71e7c32d318d136b6100671a1ae6a6600e3899f31f0eed19e3417d134b90c9058f8\
    632c798d4490da4987307cba922d61c39805d072b589bd52fdf1e86215c2d54e6670e07383a27bbffb5addf47d66\
    aa85a0c6f9f32e59d85a44dd5d3b22dc2be80919b490437ae4f36a0ae55edf1d0b5cb4e9a3ecabee93dfc6e38d20\
    9d0fa6536d27a5d6fbb17641cde27525d61093f1b28072d111b2b4ae5f89d5974ee12e5cf7d5da4d6a31123041f3\
    3e61407e76cffcdcfd7e19ba58cf4b536f4c4938ae79324dc402894b44faf8afbab35282ab659d13c93f70412e85\
    cb199a37ddec600545473cfb5a05e08d0b209973b2172b4d21fb69745a262ccde96ba18b2faa745b6fe189cf772a\
    9f84cbfc";
