//! JSON written straight into bytes: documents are made by the million, and a tree of values for each would cost more than all
//! the rest of the way.

use std::io::Write as _;

use rastro_model::dataset::civil_from_days;

const SECOND_NS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Appends `text` with its quotes. Bytes that are not UTF-8 are replaced, control characters escaped: what a container writes can
/// neither end its member nor the document's line.
#[inline]
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    // A fold instead of a search: it has no early end and is done for many bytes at once.
    let is_plain = text.iter().fold(true, |plain, &byte| plain & is_plain(byte));
    if is_plain {
        out.extend_from_slice(text);
    } else {
        push_escaped(out, text);
    }
    out.push(b'"');
}

const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f && byte != b'"' && byte != b'\\'
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\t' => out.extend_from_slice(b"\\t"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\n' => out.extend_from_slice(b"\\n"),
                0..0x20 | 0x7f => {
                    out.extend_from_slice(b"\\u00");
                    out.push(HEXADECIMAL[usize::from(byte >> 4)]);
                    out.push(HEXADECIMAL[usize::from(byte & 15)]);
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends a number.
#[inline]
pub(crate) fn push_unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

/// Appends a number with its sign.
#[inline]
pub(crate) fn push_signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_unsigned(out, value.unsigned_abs());
}

/// Appends a fraction; what is no number, as 0.
pub(crate) fn push_fraction(out: &mut Vec<u8>, value: f64) {
    let value = if value.is_finite() { value } else { 0.0 };
    // Writing to memory does not fail.
    let _ = write!(out, "{value}");
}

/// Times as text; calls of one second come in long runs, so its text is kept.
#[derive(Debug)]
pub(crate) struct Times {
    second: Option<i64>,
    text: Vec<u8>,
}

impl Times {
    pub(crate) const fn new() -> Self {
        Self { second: None, text: Vec::new() }
    }

    /// Appends `yyyy-mm-ddThh:mm:ss.nnnnnnnnn` (UTC) and `zone`, in quotes.
    #[inline]
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, time_ns: i64, zone: &str) {
        let second = time_ns.div_euclid(SECOND_NS);
        if self.second != Some(second) {
            self.begin(second);
        }
        out.extend_from_slice(&self.text);
        let mut fraction = *b"000000000";
        let mut rest = time_ns.rem_euclid(SECOND_NS);
        for digit in fraction.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.extend_from_slice(&fraction);
        out.extend_from_slice(zone.as_bytes());
        out.push(b'"');
    }

    #[cold]
    fn begin(&mut self, second: i64) {
        let (year, month, day) = civil_from_days(second.div_euclid(DAY_SECONDS));
        let of_day = second.rem_euclid(DAY_SECONDS);
        let (hour, minute) = (of_day / 3600, of_day / 60 % 60);
        self.text.clear();
        let _ =
            write!(self.text, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.", of_day % 60);
        self.second = Some(second);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_time_has_nanoseconds_and_its_zone() {
        let mut times = Times::new();
        let mut text = |time_ns, zone| written(|out| times.push(out, time_ns, zone));
        assert_eq!(text(1_648_750_396_977_633_722, "+0000"), r#""2022-03-31T18:13:16.977633722+0000""#);
        assert_eq!(text(1_648_750_396_000_000_001, "Z"), r#""2022-03-31T18:13:16.000000001Z""#);
        assert_eq!(text(-1, "Z"), r#""1969-12-31T23:59:59.999999999Z""#);
        assert_eq!(text(i64::MAX, "Z"), r#""2262-04-11T23:47:16.854775807Z""#);
        assert_eq!(text(i64::MIN, "Z"), r#""1677-09-21T00:12:43.145224192Z""#);
    }

    #[test]
    fn what_is_no_number_does_not_spoil_a_document() {
        assert_eq!(written(|out| push_fraction(out, f64::NAN)), "0");
        assert_eq!(written(|out| push_fraction(out, 0.25)), "0.25");
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_as_text_on_one_line(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let json = written(|out| push_text(out, &bytes));
            prop_assert!(!json.contains(|character: char| character.is_ascii_control()));
            let read: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn numbers_come_back(signed in any::<i64>(), unsigned in any::<u64>()) {
            prop_assert_eq!(written(|out| push_signed(out, signed)), signed.to_string());
            prop_assert_eq!(written(|out| push_unsigned(out, unsigned)), unsigned.to_string());
        }
    }
}
