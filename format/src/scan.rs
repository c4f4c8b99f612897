//! Numbers and names in bytes, read from a position.

/// How sysdig prints a field that an event lacks.
pub(crate) const NOT_AVAILABLE: &[u8] = b"<NA>";

/// Reads digits at `position`: the number and where they end. `None` where there is no digit or the number has no room.
#[inline]
pub(crate) fn unsigned(line: &[u8], position: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    let mut end = position;
    while let Some(digit) = line.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
        // 19 digits always have room.
        if end - position < 19 {
            value = value * 10 + u64::from(digit);
        } else {
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        }
        end += 1;
    }
    (end > position).then_some((value, end))
}

/// Reads a number with an optional minus sign at `position`.
#[inline]
pub(crate) fn signed(line: &[u8], position: usize) -> Option<(i64, usize)> {
    if line.get(position) == Some(&b'-') {
        let (magnitude, end) = unsigned(line, position + 1)?;
        Some((0_i64.checked_sub_unsigned(magnitude)?, end))
    } else {
        let (value, end) = unsigned(line, position)?;
        Some((i64::try_from(value).ok()?, end))
    }
}

/// The longest name of an event type that is believed; the kernel's longest has 28 bytes.
pub(crate) const MAX_NAME_LENGTH: usize = 64;

/// Whether names of event types may hold the byte: letters, digits, `_`, and the marks of `<unknown>` and `#42`.
#[inline]
pub(crate) const fn is_name_byte(byte: u8) -> bool {
    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let b = byte as u8;
            allowed[byte] = b.is_ascii_alphanumeric() || matches!(b, b'_' | b'<' | b'>' | b'#' | b'.' | b'-');
            byte += 1;
        }
        allowed
    };
    ALLOWED[byte as usize]
}

/// Where the name at `position` ends. `None` where there is none, or it is too long.
#[inline]
pub(crate) fn name_end(line: &[u8], position: usize) -> Option<usize> {
    let bytes = line.get(position..)?;
    let length = bytes.iter().take(MAX_NAME_LENGTH + 1).take_while(|&&byte| is_name_byte(byte)).count();
    (1..=MAX_NAME_LENGTH).contains(&length).then_some(position + length)
}

/// Whether a token could be one of the fixed fields beside a name: all digits, `<NA>`, or a direction. Where a text
/// stands in the middle of a format, a name must not be mistaken for them.
#[inline]
pub(crate) fn is_mistakable_name(name: &[u8]) -> bool {
    match name {
        b"<" | b">" | b"<NA>" => true,
        [first, ..] if first.is_ascii_digit() || *first == b'-' => {
            name.strip_prefix(b"-").unwrap_or(name).iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_up_to_their_limits() {
        assert_eq!(unsigned(b"18446744073709551615 ", 0), Some((u64::MAX, 20)));
        assert_eq!(unsigned(b"18446744073709551616", 0), None);
        assert_eq!(unsigned(b"00000000000000000000000000001", 0), Some((1, 29)));
        assert_eq!(unsigned(b"x", 0), None);
        assert_eq!(unsigned(b"", 0), None);
        assert_eq!(unsigned(b"12", 7), None);
        assert_eq!(signed(b"-9223372036854775808", 0), Some((i64::MIN, 20)));
        assert_eq!(signed(b"-9223372036854775809", 0), None);
        assert_eq!(signed(b"9223372036854775808", 0), None);
        assert_eq!(signed(b"-", 0), None);
        assert_eq!(signed(b"a -110 b", 2), Some((-110, 6)));
    }

    #[test]
    fn names_hold_no_blank_and_no_equals_sign() {
        assert_eq!(name_end(b"read x", 0), Some(4));
        assert_eq!(name_end(b"<unknown>", 0), Some(9));
        assert_eq!(name_end(b"a=b", 0), Some(1));
        assert_eq!(name_end(b" read", 0), None);
        assert_eq!(name_end(&[b'a'; 65], 0), None);
        assert!(is_mistakable_name(b"42") && is_mistakable_name(b"-1") && is_mistakable_name(b"<NA>"));
        assert!(
            !is_mistakable_name(b"4a") && !is_mistakable_name(b"<unknown>") && !is_mistakable_name(b"#42")
        );
    }
}
