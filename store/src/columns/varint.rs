//! Whole numbers in as few bytes as they need (LEB128), and a cursor that reads without ever leaving its bytes.

use super::DecodeError;

/// Appends `value`, seven bits a byte, the lowest first; the highest bit says that more follow.
pub(crate) fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Folds the sign into the lowest bit, so that small negative numbers stay small.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads bytes from the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes that are left.
    pub(crate) const fn rest(&self) -> &'b [u8] {
        self.bytes
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'b [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::TooShort)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        // Most numbers take one byte; keep that path free of the loop.
        if let Some((&byte, rest)) = self.bytes.split_first()
            && byte < 0x80
        {
            self.bytes = rest;
            return Ok(u64::from(byte));
        }
        let mut value = 0_u64;
        for (place, &byte) in self.bytes.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                return Err(DecodeError::Number);
            }
            value |= bits << (7 * place);
            if byte < 0x80 {
                self.bytes = &self.bytes[place + 1..];
                return Ok(value);
            }
        }
        Err(if self.bytes.len() < 10 { DecodeError::TooShort } else { DecodeError::Number })
    }

    /// A number that counts or measures something in memory and must not exceed `limit`.
    pub(crate) fn length(&mut self, limit: usize) -> Result<usize, DecodeError> {
        let value = self.varint()?;
        usize::try_from(value)
            .ok()
            .filter(|&length| length <= limit)
            .ok_or(DecodeError::Length { value, limit })
    }

    /// A text of at most `limit` bytes behind its length.
    pub(crate) fn text(&mut self, limit: usize) -> Result<String, DecodeError> {
        let length = self.length(limit)?;
        let bytes = self.take(length)?;
        Ok(str::from_utf8(bytes).map_err(|_| DecodeError::Text)?.to_owned())
    }

    /// Nothing may be left.
    pub(crate) const fn finish(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::TooLong) }
    }
}

/// Appends a text behind its length.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            write(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX, -110] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn a_number_that_ends_too_early_or_never_is_an_error() {
        assert_eq!(Reader::new(&[0x80; 3]).varint(), Err(DecodeError::TooShort));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(DecodeError::Number));
        assert_eq!(Reader::new(&[]).varint(), Err(DecodeError::TooShort));
    }
}
