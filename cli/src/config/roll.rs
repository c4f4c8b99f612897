//! `dataset.roll`: when a dataset gets its next index.

use rastro_transformer::IndexNames;

/// When a dataset gets its next index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roll {
    /// With the time of the calls.
    ByTime(IndexNames),
    /// When the index holds so many calls, each of which is a document of Rocha's.
    Documents(u64),
}

impl Roll {
    /// Reads `1d`, `12h` or `5000000 docs`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let (number, unit) = (text[..digits].parse::<u64>().ok()?, text[digits..].trim());
        match unit {
            "d" | "day" if number == 1 => Some(Self::ByTime(IndexNames::Daily)),
            "h" | "hour" | "hours" if number == 24 => Some(Self::ByTime(IndexNames::Daily)),
            "h" | "hour" | "hours" if number > 0 && 24_u64.is_multiple_of(number) => {
                Some(Self::ByTime(IndexNames::Hourly(number as u8)))
            }
            "docs" | "documents" if number > 0 => Some(Self::Documents(number)),
            _ => None,
        }
    }

    /// How the transformer names indices.
    pub(crate) const fn index_names(self) -> IndexNames {
        match self {
            Self::ByTime(names) => names,
            Self::Documents(_) => IndexNames::ByStore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_lasts_for_a_time_or_for_a_number_of_documents() {
        assert_eq!(Roll::parse("1d"), Some(Roll::ByTime(IndexNames::Daily)));
        assert_eq!(Roll::parse("24h"), Some(Roll::ByTime(IndexNames::Daily)));
        assert_eq!(Roll::parse("1h"), Some(Roll::ByTime(IndexNames::Hourly(1))));
        assert_eq!(Roll::parse(" 12 h"), Some(Roll::ByTime(IndexNames::Hourly(12))));
        assert_eq!(Roll::parse("5000000 docs"), Some(Roll::Documents(5_000_000)));
        for wrong in
            ["", "d", "2d", "5h", "0h", "0 docs", "-1 docs", "docs", "1.5h", "99999999999999999999 docs"]
        {
            assert_eq!(Roll::parse(wrong), None, "{wrong:?}");
        }
    }
}
