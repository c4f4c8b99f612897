//! Days of formats that give a time of day only.

use rastro_format::DayBase;

/// The day as `yyyy-mm-dd`.
pub(crate) fn date_text(day: DayBase) -> String {
    // The one calendar of the workspace writes names of indices: `-yyyy.mm.dd`.
    rastro_model::dataset::index_of_day("", day.0)[1..].replace('.', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_survives_printing_and_is_followed_by_the_next() {
        for (date, next) in
            [("2019-12-31", "2020-01-01"), ("2020-02-28", "2020-02-29"), ("1970-01-01", "1970-01-02")]
        {
            let day = DayBase::from_date(date).unwrap();
            assert_eq!(date_text(day), date);
            assert_eq!(date_text(day.next()), next);
        }
    }
}
