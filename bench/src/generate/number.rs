//! Numbers in decimal digits, faster than `write!`.

/// Appends a number.
pub(super) fn push_unsigned(output: &mut Vec<u8>, value: u64) {
    let digits = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    push_padded(output, value, digits);
}

/// Appends a number with its sign.
pub(super) fn push_signed(output: &mut Vec<u8>, value: i64) {
    if value < 0 {
        output.push(b'-');
    }
    push_unsigned(output, value.unsigned_abs());
}

/// Appends the last `digits` digits of a number, with zeros in front.
pub(super) fn push_padded(output: &mut Vec<u8>, value: u64, digits: usize) {
    let start = output.len();
    output.resize(start + digits, b'0');
    let mut rest = value;
    for digit in output[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_the_library_prints_them() {
        for value in [0, 1, 9, 10, 99, 100, -1, -110, i64::MAX, i64::MIN] {
            let mut text = Vec::new();
            push_signed(&mut text, value);
            assert_eq!(String::from_utf8(text).unwrap(), value.to_string());
        }
        let mut text = Vec::new();
        push_padded(&mut text, 42, 9);
        assert_eq!(text, b"000000042");
    }
}
