//! Numbers whose low bits are noise: times and latencies.
//!
//! A number is split into a *token*, which says how large it is and gives its two bits below the highest, and the bits that
//! remain. Tokens are few and compress; the remaining bits do not, and are packed without a gap, out of zstd's way.
//!
//! ```text
//! v < 4:  token v, no bits
//! else:   e = floor(log2 v);  token 4 (e − 1) + (two bits below the highest);  e − 2 bits, the lowest first
//! ```

use super::{DecodeError, section, varint::Reader};

/// Bits that may be read beyond the last one, so that the reader can always take eight bytes and one more.
const PADDING: usize = 9;

const fn token(value: u64) -> (u8, u32) {
    if value < 4 {
        return (value as u8, 0);
    }
    let exponent = value.ilog2();
    let token = 4 * (exponent - 1) + ((value >> (exponent - 2)) & 3) as u32;
    (token as u8, exponent - 2)
}

/// Base and number of remaining bits of every token.
const TOKENS: [(u64, u32); 256] = {
    let mut table = [(0, 0); 256];
    let mut token = 0_u64;
    while token < 252 {
        table[token as usize] = if token < 4 {
            (token, 0)
        } else {
            let exponent = (token / 4 + 1) as u32;
            ((4 + token % 4) << (exponent - 2), exponent - 2)
        };
        token += 1;
    }
    table
};

/// Highest token; what lies above is no number.
const LAST_TOKEN: u8 = 251;

/// Appends `values` as two sections: tokens and bits.
pub(super) fn write(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = u64>) {
    let mut tokens = Vec::with_capacity(values.len());
    let mut bits = Vec::with_capacity(values.len() * 2);
    let (mut pending, mut pending_bits) = (0_u128, 0_u32);
    for value in values {
        let (token, count) = token(value);
        tokens.push(token);
        pending |= u128::from(value & ((1 << count) - 1)) << pending_bits;
        pending_bits += count;
        if pending_bits >= 64 {
            bits.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= 64;
            pending_bits -= 64;
        }
    }
    let last = pending.to_le_bytes();
    bits.extend_from_slice(&last[..pending_bits.div_ceil(8) as usize]);
    section::write(out, &tokens);
    section::write(out, &bits);
}

/// Reads `count` numbers and hands each to `take`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    count: usize,
    mut take: impl FnMut(u64),
) -> Result<(), DecodeError> {
    let tokens = section::read(reader, count)?;
    let mut bits_expected = 0_u64;
    for &token in &tokens {
        if token > LAST_TOKEN {
            return Err(DecodeError::Number);
        }
        bits_expected += u64::from(TOKENS[usize::from(token)].1);
    }
    let mut bits = section::read(reader, bits_expected.div_ceil(8) as usize)?;
    bits.resize(bits.len() + PADDING, 0);
    let mut place = 0_usize;
    for &token in &tokens {
        let (base, count) = TOKENS[usize::from(token)];
        let start = place / 8;
        // Never short: the padding lies behind the last bit.
        let Some(word) = bits.get(start..start + 8).and_then(<[u8]>::first_chunk) else {
            return Err(DecodeError::TooShort);
        };
        let shift = (place % 8) as u32;
        let mut value = u64::from_le_bytes(*word) >> shift;
        if count + shift > 64 {
            value |= u64::from(bits[start + 8]) << (64 - shift);
        }
        take(base | (value & ((1 << count) - 1)));
        place += count as usize;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn survives(values: &[u64]) {
        let mut out = Vec::new();
        write(&mut out, values.iter().copied());
        let mut reader = Reader::new(&out);
        let mut read_back = Vec::new();
        read(&mut reader, values.len(), |value| read_back.push(value)).unwrap();
        assert_eq!(read_back, values);
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn every_size_of_number_survives_at_every_bit_place() {
        let mut values: Vec<u64> = (0..64).flat_map(|e| [1_u64 << e, (1 << e) - 1, (1 << e) + 1]).collect();
        values.extend([u64::MAX, 0, u64::MAX - 1]);
        for skipped in 0..values.len() {
            survives(&values[skipped..]);
        }
        survives(&[]);
    }

    proptest! {
        #[test]
        fn any_numbers_survive(values in prop::collection::vec((any::<u64>(), 0_u32..64), 0..200)) {
            survives(&values.iter().map(|&(value, shift)| value >> shift).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_token_that_no_number_has_is_refused() {
        let mut out = Vec::new();
        section::write(&mut out, &[252]);
        section::write(&mut out, &[]);
        assert_eq!(read(&mut Reader::new(&out), 1, |_| ()), Err(DecodeError::Number));
    }
}
