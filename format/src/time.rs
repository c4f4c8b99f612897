//! Times as sysdig prints them.

use crate::scan;

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;

/// Midnight of the day that lines with a time of day belong to, nanoseconds since 1970-01-01T00:00:00Z.
///
/// Formats that print a whole time ignore it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayBase(pub i64);

impl DayBase {
    /// Midnight (UTC) of a day given as `yyyy-mm-dd`; `None` for anything else.
    pub fn from_date(date: &str) -> Option<Self> {
        let bytes = date.as_bytes();
        let days = date_days(bytes, 0)?;
        if bytes.len() == 10 { Some(Self(days.checked_mul(DAY_NS)?)) } else { None }
    }

    /// The day after.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(DAY_NS))
    }
}

/// How a time is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeForm {
    /// `2022-03-31T18:13:16.977633722+0000`; the offset may be `+hhmm`, `+hh:mm`, `Z` or absent (UTC).
    Iso8601,
    /// `2022-03-31 18:13:16.977633722`.
    DateTime,
    /// `18:13:16.977633722`; sysdig's `-t a` and `-t r` make it seconds since the epoch or since the start.
    TimeOfDay,
    /// `1648750396977633722`.
    EpochNanoseconds,
}

impl TimeForm {
    /// The fewest bytes of a time of this form.
    pub(crate) const fn minimum_length(self) -> usize {
        match self {
            Self::Iso8601 | Self::DateTime => 19,
            Self::TimeOfDay | Self::EpochNanoseconds => 1,
        }
    }
}

/// Reads a time at `position`: nanoseconds since the epoch, and where the time ends.
pub(crate) fn parse(line: &[u8], position: usize, form: TimeForm, day: DayBase) -> Option<(i64, usize)> {
    match form {
        TimeForm::Iso8601 => iso8601_utc(line, position).or_else(|| date_time(line, position, b'T')),
        TimeForm::DateTime => date_time(line, position, b' '),
        TimeForm::TimeOfDay => time_of_day(line, position, day),
        TimeForm::EpochNanoseconds => {
            let (value, end) = scan::unsigned(line, position)?;
            Some((i64::try_from(value).ok()?, end))
        }
    }
}

/// The layout that sysdig prints, byte for byte: 29 bytes of time and `+0000`. `None` for any other, which
/// [`parse`] may still know.
#[inline]
pub(crate) fn iso8601_utc(line: &[u8], position: usize) -> Option<(i64, usize)> {
    let text: &[u8; 34] = line.get(position..position + 34)?.first_chunk()?;
    if text[4] != b'-'
        || text[7] != b'-'
        || text[10] != b'T'
        || text[13] != b':'
        || text[16] != b':'
        || text[19] != b'.'
        || text[29..34] != *b"+0000"
    {
        return None;
    }
    // Whether all are digits is asked once, at the end.
    let mut wrong = 0_u8;
    let mut two = |at: usize| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        wrong |= u8::from(tens > 9) | u8::from(ones > 9);
        i64::from(tens) * 10 + i64::from(ones)
    };
    let year = two(0) * 100 + two(2);
    let (month, day, hour, minute, second) = (two(5), two(8), two(11), two(14), two(17));
    let hundreds_of_millions = text[20].wrapping_sub(b'0');
    wrong |= u8::from(hundreds_of_millions > 9);
    let nanoseconds =
        i64::from(hundreds_of_millions) * 100_000_000 + eight_digits(*text[21..29].first_chunk()?)?;
    if wrong != 0 {
        return None;
    }
    let days = checked_days(year, month, day)?;
    Some((seconds_to_ns(days, hour, minute, second, nanoseconds)?, position + 34))
}

/// Eight digits at once: three multiplications instead of eight.
#[inline]
fn eight_digits(digits: [u8; 8]) -> Option<i64> {
    let value = u64::from_le_bytes(digits);
    // Every byte must lie in 0x30..=0x39: high half 3, and still 3 after adding 6.
    let are_digits = value & 0xf0f0_f0f0_f0f0_f0f0 == 0x3030_3030_3030_3030
        && value.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0 == 0x3030_3030_3030_3030;
    if !are_digits {
        return None;
    }
    let value = value & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = value.wrapping_mul(2561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(42_949_672_960_001) >> 32) as i64)
}

fn two_digits(line: &[u8], position: usize) -> Option<i64> {
    let digits = line.get(position..position + 2)?;
    digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| i64::from(digits[0] - b'0') * 10 + i64::from(digits[1] - b'0'))
}

/// Days since the epoch of `yyyy-mm-dd` at `position`.
fn date_days(line: &[u8], position: usize) -> Option<i64> {
    let year = two_digits(line, position)? * 100 + two_digits(line, position + 2)?;
    let month = two_digits(line, position + 5)?;
    let day = two_digits(line, position + 8)?;
    (line[position + 4] == b'-' && line[position + 7] == b'-')
        .then(|| checked_days(year, month, day))
        .flatten()
}

fn date_time(line: &[u8], position: usize, separator: u8) -> Option<(i64, usize)> {
    let days = date_days(line, position)?;
    if line.get(position + 10) != Some(&separator) {
        return None;
    }
    let (since_midnight, end) = clock(line, position + 11)?;
    let (offset_ns, end) = utc_offset(line, end)?;
    Some((days.checked_mul(DAY_NS)?.checked_add(since_midnight)?.checked_sub(offset_ns)?, end))
}

/// `hh:mm:ss` with an optional fraction of one to nine digits, as nanoseconds since midnight.
fn clock(line: &[u8], position: usize) -> Option<(i64, usize)> {
    let (hour, minute) = (two_digits(line, position)?, two_digits(line, position + 3)?);
    let second = two_digits(line, position + 6)?;
    if line[position + 2] != b':' || line[position + 5] != b':' {
        return None;
    }
    let (nanoseconds, end) = fraction(line, position + 8)?;
    Some((seconds_to_ns(0, hour, minute, second, nanoseconds)?, end))
}

/// `.` and one to nine digits as nanoseconds; 0 where there is no point.
fn fraction(line: &[u8], position: usize) -> Option<(i64, usize)> {
    if line.get(position) != Some(&b'.') {
        return Some((0, position));
    }
    let (value, end) = scan::unsigned(line, position + 1)?;
    let digits = end - position - 1;
    let scale = 10_i64.pow(9_u32.checked_sub(digits as u32)?);
    Some((value as i64 * scale, end))
}

/// `+hhmm`, `+hh:mm` or `Z` as nanoseconds to take away; nothing means UTC.
fn utc_offset(line: &[u8], position: usize) -> Option<(i64, usize)> {
    let sign = match line.get(position) {
        Some(b'Z') => return Some((0, position + 1)),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some((0, position)),
    };
    let hours = two_digits(line, position + 1)?;
    let minutes_at = position + 3 + usize::from(line.get(position + 3) == Some(&b':'));
    let minutes = two_digits(line, minutes_at)?;
    (hours < 24 && minutes < 60).then_some((sign * (hours * 60 + minutes) * 60 * SECOND_NS, minutes_at + 2))
}

/// A time of day, or the seconds that sysdig prints instead with `-t a` (since the epoch) and `-t r` (since the start).
fn time_of_day(line: &[u8], position: usize, day: DayBase) -> Option<(i64, usize)> {
    /// Seconds from here on (the year 1973) are no time since a recording's start.
    const EPOCH_SECONDS_FROM: u64 = 100_000_000;
    if line.get(position + 2) == Some(&b':') {
        let (since_midnight, end) = clock(line, position)?;
        return Some((day.0.checked_add(since_midnight)?, end));
    }
    let (seconds, end) = scan::unsigned(line, position)?;
    let (nanoseconds, end) = fraction(line, end)?;
    let time = i64::try_from(seconds).ok()?.checked_mul(SECOND_NS)?.checked_add(nanoseconds)?;
    let base = if seconds < EPOCH_SECONDS_FROM { day.0 } else { 0 };
    Some((base.checked_add(time)?, end))
}

/// Nanoseconds since the epoch; `None` for a clock that shows no time (a leap second 60 is one) or a year out of range.
#[inline]
fn seconds_to_ns(days: i64, hour: i64, minute: i64, second: i64, nanoseconds: i64) -> Option<i64> {
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(SECOND_NS)?.checked_add(nanoseconds)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar with a year of four digits; `None` for a date that
/// does not exist.
#[inline]
fn checked_days(year: i64, month: i64, day: i64) -> Option<i64> {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const LENGTH: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month - 1).ok().filter(|&index| index < 12)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = LENGTH[index] + i64::from(is_leap && index == 1);
    if day < 1 || day > length {
        return None;
    }
    let past_years = year + 399; // years 1 to `year - 1`, shifted by 400 so that the year 0 counts too
    let leap_days = past_years / 4 - past_years / 100 + past_years / 400;
    let days_in_year = BEFORE_MONTH[index] + i64::from(is_leap && index > 1) + day - 1;
    // 719_162 days lie between 0001-01-01 and 1970-01-01; 97 leap days were shifted in above.
    Some((year - 1) * 365 + leap_days - 97 + days_in_year - 719_162)
}

/// Appends a time in the given form, in UTC.
pub(crate) fn write(line: &mut Vec<u8>, time_ns: i64, form: TimeForm) {
    use std::io::Write as _;
    if form == TimeForm::EpochNanoseconds {
        // A time before the epoch has no such form.
        crate::write::push_unsigned(line, u64::try_from(time_ns).unwrap_or(0));
        return;
    }
    let days = time_ns.div_euclid(DAY_NS);
    let since_midnight = time_ns.rem_euclid(DAY_NS);
    if form != TimeForm::TimeOfDay {
        let (year, month, day) = date_of(days);
        push_padded(line, year, 4);
        line.push(b'-');
        push_padded(line, month, 2);
        line.push(b'-');
        push_padded(line, day, 2);
        line.push(if form == TimeForm::Iso8601 { b'T' } else { b' ' });
    }
    let seconds = since_midnight / SECOND_NS;
    push_padded(line, seconds / 3600, 2);
    line.push(b':');
    push_padded(line, seconds / 60 % 60, 2);
    line.push(b':');
    push_padded(line, seconds % 60, 2);
    line.push(b'.');
    push_padded(line, since_midnight % SECOND_NS, 9);
    if form == TimeForm::Iso8601 {
        let _ = line.write_all(b"+0000");
    }
}

fn push_padded(line: &mut Vec<u8>, value: i64, width: usize) {
    let mut digits = [b'0'; 9];
    let mut rest = value;
    for digit in digits[..width].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    line.extend_from_slice(&digits[..width]);
}

/// Year, month and day of a day counted from 1970-01-01: the years are found by their mean length and put right by one.
fn date_of(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(365);
    // 365 is too short, so the guess is never too early; every step takes away at least a year.
    let first_of = |year: i64| checked_days(year, 1, 1).unwrap_or(i64::MIN);
    year -= (year - 1970) / 1461;
    while first_of(year) > days {
        year -= 1;
    }
    while checked_days(year + 1, 1, 1).is_some_and(|first| first <= days) {
        year += 1;
    }
    let mut month = 12;
    while checked_days(year, month, 1).is_some_and(|first| first > days) {
        month -= 1;
    }
    (year, month, days - checked_days(year, month, 1).unwrap_or(days) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE_NS: i64 = 1_648_750_396_977_633_722;

    fn iso(text: &str) -> Option<i64> {
        let (time, end) = parse(text.as_bytes(), 0, TimeForm::Iso8601, DayBase::default())?;
        (end == text.len()).then_some(time)
    }

    #[test]
    fn offsets_and_short_fractions_are_understood() {
        for same in [
            "2022-03-31T18:13:16.977633722+0000",
            "2022-03-31T18:13:16.977633722+00:00",
            "2022-03-31T18:13:16.977633722Z",
            "2022-03-31T18:13:16.977633722",
            "2022-03-31T15:13:16.977633722-0300",
            "2022-03-31T23:43:16.977633722+05:30",
            "2022-04-01T00:13:16.977633722+0600",
        ] {
            assert_eq!(iso(same), Some(SAMPLE_NS), "{same}");
        }
        assert_eq!(iso("2022-03-31T18:13:16.977Z"), Some(SAMPLE_NS - 633_722));
        assert_eq!(iso("2022-03-31T18:13:16Z"), Some(SAMPLE_NS - 977_633_722));
        assert_eq!(iso("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(iso("1969-12-31T23:59:59.999999999Z"), Some(-1));
        assert_eq!(iso("2000-02-29T00:00:00Z"), Some(951_782_400 * SECOND_NS));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in [
            "",
            "2022",
            "2022-03-31",
            "2022-13-31T00:00:00Z",
            "2022-00-31T00:00:00Z",
            "2022-02-29T00:00:00Z",
            "2022-04-31T00:00:00Z",
            "2022-03-00T00:00:00Z",
            "2022-03-31T24:00:00Z",
            "2022-03-31T00:60:00Z",
            "2022-03-31T00:00:61Z",
            "2022-03-31T00:00:00.Z",
            "2022-03-31T00:00:00.1234567890Z",
            "2022-03-31 00:00:00Z",
            "2022-03-31T00:00:00+2500",
            "2022-03-31T00:00:00+1",
            "0001-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "2022-03-31T18:13:16.97763372x+0000",
            "2022-03-31T18:13:16./77633722+0000",
            "2022/03/31T18:13:16Z",
        ] {
            assert_eq!(iso(wrong), None, "{wrong}");
            assert_eq!(iso8601_utc(wrong.as_bytes(), 0), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_of_day_belongs_to_its_day() {
        let day = DayBase::from_date("2022-03-31").unwrap();
        let read = |text: &str| parse(text.as_bytes(), 0, TimeForm::TimeOfDay, day).map(|(time, _)| time);
        assert_eq!(read("18:13:16.977633722"), Some(SAMPLE_NS));
        assert_eq!(read("1648750396.977633722"), Some(SAMPLE_NS));
        assert_eq!(read("65596.977633722"), Some(SAMPLE_NS));
        assert_eq!(day.next(), DayBase::from_date("2022-04-01").unwrap());
        for wrong in ["", "2022-3-31", "2022-03-31 ", "yesterday", "2022-02-30"] {
            assert_eq!(DayBase::from_date(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_written_time_is_read_back(time_ns in i64::MIN + DAY_NS..=i64::MAX) {
            for form in [TimeForm::Iso8601, TimeForm::DateTime] {
                let mut text = Vec::new();
                write(&mut text, time_ns, form);
                prop_assert_eq!(parse(&text, 0, form, DayBase::default()), Some((time_ns, text.len())));
            }
        }

        #[test]
        fn the_short_cut_reads_what_the_long_way_reads(time_ns in i64::MIN + DAY_NS..=i64::MAX, at in 0_usize..34, byte in any::<u8>()) {
            let mut text = Vec::new();
            write(&mut text, time_ns, TimeForm::Iso8601);
            prop_assert_eq!(iso8601_utc(&text, 0), Some((time_ns, 34)));
            prop_assert_eq!(date_time(&text, 0, b'T'), Some((time_ns, 34)));
            text[at] = byte;
            if let Some(short) = iso8601_utc(&text, 0) {
                prop_assert_eq!(date_time(&text, 0, b'T'), Some(short));
            }
        }

        #[test]
        fn no_bytes_make_a_time_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), day in any::<i64>()) {
            for form in [TimeForm::Iso8601, TimeForm::DateTime, TimeForm::TimeOfDay, TimeForm::EpochNanoseconds] {
                if let Some((_, end)) = parse(&bytes, 0, form, DayBase(day)) {
                    prop_assert!(end <= bytes.len());
                }
            }
            iso8601_utc(&bytes, 0);
        }
    }
}
