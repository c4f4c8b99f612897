//! The unit that a source counts time in. Many clocks tick in whole microseconds; the nanoseconds below would be stored in vain.

use super::{DecodeError, varint::Reader};

/// Units, nanoseconds, each a multiple of the one before.
const UNITS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// Appends the number of the largest unit that divides all `values`; returns the unit.
pub(super) fn write(out: &mut Vec<u8>, mut values: impl Iterator<Item = u64> + Clone) -> u64 {
    let mut unit = 0;
    while let Some(larger) = UNITS.get(unit + 1)
        && values.clone().all(|value| value % larger == 0)
    {
        unit += 1;
    }
    // Nothing but zeros: any unit does, the smallest is the one to read.
    if values.all(|value| value == 0) {
        unit = 0;
    }
    out.push(unit as u8);
    UNITS[unit]
}

/// Reads what [`write()`] wrote.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let unit = reader.take(1)?[0];
    UNITS.get(usize::from(unit)).copied().ok_or(DecodeError::Method(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_that_loses_nothing_is_chosen() {
        for (values, expected) in [
            (&[2_000, 5_000, 0][..], 1_000),
            (&[2_000, 5_001], 1),
            (&[3_000_000], 1_000_000),
            (&[7_000_000_000], 1_000_000_000),
            (&[0, 0], 1),
            (&[], 1),
        ] {
            let mut out = Vec::new();
            assert_eq!(write(&mut out, values.iter().copied()), expected, "{values:?}");
            assert_eq!(read(&mut Reader::new(&out)), Ok(expected));
        }
        assert_eq!(read(&mut Reader::new(&[4])), Err(DecodeError::Method(4)));
    }
}
