//! Figures and names as people read them.

use jiff::Timestamp;

/// A count with thin groups of three: `93,291,758`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and what is counted: `1 alarm`, `2 alarms`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A time in UTC to the millisecond; `-` where unknown.
pub(crate) fn time(ns: i64) -> String {
    if ns <= 0 {
        return "-".to_owned();
    }
    Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| "-".to_owned(), |timestamp| timestamp.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string())
}

/// A time in RFC 3339 with nanoseconds, for documents.
pub(crate) fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| String::new(), |timestamp| format!("{timestamp:.9}"))
}

/// Text from a container, safe for a terminal: control characters, and those that turn the direction of what follows, become `.`.
pub(crate) fn printable(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_harmful(c) { '.' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_escapes_disarmed() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(93_291_758), "93,291,758");
        assert_eq!(
            [counted(0, "alarm"), counted(1, "alarm"), counted(1000, "alarm")],
            ["0 alarms", "1 alarm", "1,000 alarms"]
        );
        assert_eq!(time(1_648_750_396_977_633_722), "2022-03-31 18:13:16.977");
        assert_eq!(printable("a\x1b[2Jb\n"), "a.[2Jb.");
        assert_eq!(printable("a\u{202e}b"), "a.b");
    }
}
