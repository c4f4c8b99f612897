//! Error numbers of Linux: a negative result is an error's number with its sign turned.
//!
//! The numbers are those of x86 and ARM (`asm-generic/errno.h`); the table is made by `model/scripts/syscall-tables`.

mod table;

use table::BY_NUMBER;

/// Name of error `number` (positive): 110 is `ETIMEDOUT`.
pub fn name(number: u16) -> Option<&'static str> {
    BY_NUMBER.binary_search_by_key(&number, |&(other, _)| other).ok().map(|index| BY_NUMBER[index].1)
}

/// Number of the error of that name; `EWOULDBLOCK` and `EDEADLOCK` are other names of `EAGAIN` and `EDEADLK`.
pub fn number(name: &[u8]) -> Option<u16> {
    let name = match name {
        b"EWOULDBLOCK" => b"EAGAIN".as_slice(),
        b"EDEADLOCK" => b"EDEADLK",
        _ => name,
    };
    BY_NUMBER.iter().find(|(_, other)| other.as_bytes() == name).map(|&(number, _)| number)
}

/// Name of the error that a call's result stands for: −110 is `ETIMEDOUT`, 0 is none.
pub fn of_result(result: i64) -> Option<&'static str> {
    let number = result.checked_neg()?;
    name(u16::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_names_its_error() {
        assert_eq!(of_result(-110), Some("ETIMEDOUT"));
        assert_eq!(of_result(-11), Some("EAGAIN"));
        for none in [0, 1, 110, -41, -4095, i64::MIN, i64::MAX] {
            assert_eq!(of_result(none), None, "{none}");
        }
    }

    #[test]
    fn every_name_gives_back_its_number() {
        assert!(BY_NUMBER.is_sorted_by(|a, b| a.0 < b.0));
        for &(its_number, its_name) in BY_NUMBER {
            assert_eq!(number(its_name.as_bytes()), Some(its_number));
            assert_eq!(name(its_number), Some(its_name));
        }
        assert_eq!(number(b"EWOULDBLOCK"), Some(11));
        assert_eq!(number(b"SUCCESS"), None);
    }
}
