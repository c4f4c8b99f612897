//! Names of datasets and of the indices that hold them.

use crate::stream::InvalidId;

/// Longest name of a dataset, bytes.
pub const MAX_NAME_LENGTH: usize = 100;

/// Checks that `name` can name a dataset: lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit
/// (what Elasticsearch allows for an index name), and not ending in a suffix that Rastro gives to derived indices.
pub fn check_name(name: &str) -> Result<(), InvalidId> {
    let expected = "a dataset name: lower-case letters, digits, `-`, `_`, `.`; first a letter or digit; at most 100; \
                    not ending in -anomaly, -rollup, -events or -windows";
    let first_is_fine = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest_is_fine =
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    let is_derived =
        ["-anomaly", "-rollup", "-events", "-windows"].iter().any(|suffix| name.ends_with(suffix));
    if first_is_fine && rest_is_fine && !is_derived && name.len() <= MAX_NAME_LENGTH {
        Ok(())
    } else {
        Err(InvalidId { text: name.to_owned(), expected })
    }
}

/// Name of the dataset index of the day on which `time_ns` (nanoseconds since the epoch, UTC) falls:
/// `<dataset>-<yyyy.mm.dd>` (`SPEC` 1.4).
pub fn index_of_day(dataset: &str, time_ns: i64) -> String {
    let (year, month, day) = civil_from_days(time_ns.div_euclid(86_400_000_000_000));
    format!("{dataset}-{year:04}.{month:02}.{day:02}")
}

/// Name of the index of the scores of `index`: `<index>-anomaly`.
pub fn anomaly_index(index: &str) -> String {
    format!("{index}-anomaly")
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_named_by_the_day() {
        assert_eq!(index_of_day("test-app", 1_648_750_396_977_633_722), "test-app-2022.03.31");
        assert_eq!(index_of_day("a", 0), "a-1970.01.01");
        assert_eq!(index_of_day("a", -1), "a-1969.12.31");
        assert_eq!(index_of_day("a", 951_782_400_000_000_000), "a-2000.02.29");
        assert_eq!(anomaly_index("a-1970.01.01"), "a-1970.01.01-anomaly");
    }

    #[test]
    fn names_that_an_index_cannot_have_are_refused() {
        for good in ["a", "test-app", "0x", "a.b_c-d"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "a/b", "x-anomaly", "é", &"a".repeat(101)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
