//! When a dataset goes on in its next index.

/// When a dataset goes on in its next index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Roll {
    /// As the segments say: by the time of their first call.
    #[default]
    ByTime,
    /// Once an index holds so many calls (documents of one call each, whether or not they are written): `<dataset>-000001`,
    /// `<dataset>-000002`, … A segment is never parted, so an index may end a segment later. The segments bear the bare name of
    /// their dataset as that of their index.
    Documents(u64),
}

/// Name of a dataset's index number `number`.
pub(crate) fn numbered_index(dataset: &str, number: u64) -> String {
    format!("{dataset}-{number:06}")
}

/// The number in the name of a dataset's index; `None` if the index is not numbered.
pub(crate) fn number_of(dataset: &str, index: &str) -> Option<u64> {
    let digits = index.strip_prefix(dataset)?.strip_prefix('-')?;
    let is_number = digits.len() >= 6 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_in_a_name_is_the_one_that_it_was_made_from() {
        for number in [1, 42, 999_999, 1_000_000, 123_456_789] {
            assert_eq!(number_of("web-shop", &numbered_index("web-shop", number)), Some(number));
        }
        for other in [
            "web-shop",
            "web-shop-2022.03.31",
            "web-shop-12345",
            "web-shop-00000x",
            "web-000001",
            "web-shopx-000001",
        ] {
            assert_eq!(number_of("web-shop", other), None, "{other}");
        }
    }
}
