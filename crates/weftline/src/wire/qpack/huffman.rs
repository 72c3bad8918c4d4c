//! The Huffman code for strings (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their
//! symbols, so the lengths alone give every table here, at compile time.

use alloc::vec::Vec;

/// A string is no legal Huffman encoding: it contains EOS, or its padding is longer than 7 bits or
/// not all ones.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Huffman encoding is not legal")]
pub struct HuffmanError;

/// Appends the string that `input` encodes to `out`: at most 8/5 bytes for each. On an error, `out`
/// has what came before it.
pub fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), HuffmanError> {
    let mut bytes = input.iter();
    // The next bits, from the top; below them zeros.
    let mut window: u64 = 0;
    let mut bits: u32 = 0;
    loop {
        while bits <= 56
            && let Some(&byte) = bytes.next()
        {
            window |= u64::from(byte) << (56 - bits);
            bits += 8;
        }
        // No code is longer than 30 bits.
        let (symbol, len) = lookup((window >> 32) as u32);
        if len > bits {
            // No code is left whole: what is left must be the beginning of EOS, all ones.
            let padding = !(u64::MAX >> bits);
            return if bits < 8 && window == padding {
                Ok(())
            } else {
                Err(HuffmanError)
            };
        }
        // EOS is no byte.
        out.push(u8::try_from(symbol).map_err(|_| HuffmanError)?);
        window <<= len;
        bits -= len;
    }
}

/// Appends the encoding of `text` to `out`.
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    let mut pending: u64 = 0;
    let mut bits: u32 = 0;
    for &byte in text {
        let Code { code, len } = code_of(byte);
        pending = pending << len | u64::from(code);
        bits += len;
        while bits >= 8 {
            bits -= 8;
            out.push((pending >> bits) as u8);
        }
    }
    if bits > 0 {
        let padding = 0xff >> bits;
        out.push((pending << (8 - bits)) as u8 | padding);
    }
}

/// Bytes that [`encode`] appends.
pub fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| code_of(byte).len as usize).sum();
    bits.div_ceil(8)
}

/// The symbol whose code begins `window`, and its length. The code is complete: every window
/// begins with one.
fn lookup(window: u32) -> (u16, u32) {
    let short = SHORT.get((window >> 24) as usize);
    if let Some(&Short {
        symbol,
        len: len @ 1..,
    }) = short
    {
        return (symbol.into(), len.into());
    }
    let Some(long) = LONG.iter().find(|long| window <= long.last) else {
        return (EOS, MAX_LEN as u32);
    };
    let index = u32::from(long.index) + ((window - long.first) >> (32 - long.len));
    let symbol = SORTED.get(index as usize).copied().unwrap_or(EOS);
    (symbol, long.len)
}

fn code_of(byte: u8) -> Code {
    let code = CODES.get(usize::from(byte)).copied();
    code.unwrap_or(Code { code: 0, len: 0 })
}

const EOS: u16 = 256;
const SYMBOLS: usize = 257;
const MAX_LEN: usize = 30;

#[derive(Copy, Clone)]
struct Code {
    code: u32,
    len: u32,
}

/// A code of at most 8 bits; `len` is 0 where there is none.
#[derive(Copy, Clone)]
struct Short {
    symbol: u8,
    len: u8,
}

/// The codes of one length above 8 bits.
#[derive(Copy, Clone)]
struct Long {
    /// The smallest and the largest 32 bits that begin with one of them.
    first: u32,
    last: u32,
    len: u32,
    /// The place of the first one in `SORTED`.
    index: u16,
}

/// The symbols by length of code, then by value.
static SORTED: [u16; SYMBOLS] = {
    let mut sorted = [0; SYMBOLS];
    let mut at = 0;
    let mut len = 1;
    while len <= MAX_LEN {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == len {
                sorted[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    assert!(at == SYMBOLS);
    sorted
};

static CODES: [Code; SYMBOLS] = {
    let mut codes = [Code { code: 0, len: 0 }; SYMBOLS];
    let mut next = 0;
    let mut len = 0;
    let mut at = 0;
    while at < SYMBOLS {
        let symbol = SORTED[at] as usize;
        next <<= LENGTHS[symbol] as u32 - len;
        len = LENGTHS[symbol] as u32;
        codes[symbol] = Code { code: next, len };
        next += 1;
        at += 1;
    }
    // The last code is EOS, thirty ones: the code is complete.
    assert!(next == 1 << MAX_LEN);
    codes
};

static SHORT: [Short; 256] = {
    let mut short = [Short { symbol: 0, len: 0 }; 256];
    let mut symbol = 0;
    while symbol < 256 {
        let Code { code, len } = CODES[symbol];
        if len <= 8 {
            let mut at = (code << (8 - len)) as usize;
            let end = ((code + 1) << (8 - len)) as usize;
            while at < end {
                short[at] = Short {
                    symbol: symbol as u8,
                    len: len as u8,
                };
                at += 1;
            }
        }
        symbol += 1;
    }
    short
};

const LONG_LENGTHS: usize = 17;

static LONG: [Long; LONG_LENGTHS] = {
    let mut long = [Long {
        first: 0,
        last: 0,
        len: 0,
        index: 0,
    }; LONG_LENGTHS];
    let mut rows = 0;
    let mut at = 0;
    while at < SYMBOLS {
        let Code { code, len } = CODES[SORTED[at] as usize];
        if len > 8 {
            if rows == 0 || long[rows - 1].len != len {
                long[rows] = Long {
                    first: code << (32 - len),
                    last: 0,
                    len,
                    index: at as u16,
                };
                rows += 1;
            }
            long[rows - 1].last = (code << (32 - len)) | (u32::MAX >> len);
        }
        at += 1;
    }
    assert!(rows == LONG_LENGTHS);
    long
};

/// Bits of the code of each byte, and of EOS.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests;
