//! Times as text, fast: neighbouring calls share their second.

use jiff::Timestamp;

/// Writes times; remembers the last second.
#[derive(Debug, Default)]
pub(super) struct TimeText {
    second: Option<i64>,
    /// `yyyy-mm-ddThh:mm:ss` of `second`.
    text: String,
}

impl TimeText {
    /// Appends `time_ns` as `2022-03-31T18:13:16.977633722` with `zone` behind it.
    pub(super) fn append(&mut self, time_ns: i64, zone: &str, output: &mut Vec<u8>) {
        let second = time_ns.div_euclid(1_000_000_000);
        if self.second != Some(second) {
            // Nanoseconds in 64 bits never leave the years that a timestamp holds.
            let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
            self.text = time.strftime("%Y-%m-%dT%H:%M:%S.").to_string();
            self.second = Some(second);
        }
        output.extend_from_slice(self.text.as_bytes());
        let mut nanoseconds = time_ns.rem_euclid(1_000_000_000) as u32;
        let mut digits = [0; 9];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (nanoseconds % 10) as u8;
            nanoseconds /= 10;
        }
        output.extend_from_slice(&digits);
        output.extend_from_slice(zone.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_printed_as_published() {
        let mut times = TimeText::default();
        let mut text = |time_ns| {
            let mut output = Vec::new();
            times.append(time_ns, "+0000", &mut output);
            String::from_utf8(output).unwrap()
        };
        assert_eq!(text(1_648_750_396_977_633_722), "2022-03-31T18:13:16.977633722+0000");
        assert_eq!(text(1_648_750_396_000_000_007), "2022-03-31T18:13:16.000000007+0000");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999999+0000");
        assert_eq!(text(i64::MAX), "2262-04-11T23:47:16.854775807+0000");
        assert_eq!(text(i64::MIN), "1677-09-21T00:12:43.145224192+0000");
    }
}
