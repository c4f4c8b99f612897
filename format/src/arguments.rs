//! Argument lists as sysdig prints them: `name=value` pairs, each followed by a blank.
//!
//! They cannot be split with certainty, since values may hold anything (`data=GET /?a=b HTTP/1.1..Host: localhost`). The rule
//! here is the same everywhere: **a pair begins where a name of letters, digits and `_` stands at the start or behind a blank
//! and is followed by `=`**. A container can therefore make its own count of arguments too high, and nothing else.

use memchr::memchr_iter;

/// Whether names of arguments may hold the byte.
pub(crate) const fn is_argument_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// One `name=value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'line> {
    /// The name, without `=`.
    pub name: &'line [u8],
    /// The value, without the blank behind it. It may be empty and may hold blanks.
    pub value: &'line [u8],
}

/// Number of `name=value` pairs, as best can be told.
#[inline]
pub fn count(arguments: &[u8]) -> u32 {
    starts(arguments).count() as u32
}

/// Characters of the list with one blank before and one behind, as a file of Rocha's holds it: ` res=0 ` has 7, whether or
/// not the blanks are part of `arguments`. No arguments have 0.
///
/// sysdig prints a byte as a character, so bytes are counted.
#[inline]
pub fn length(arguments: &[u8]) -> u32 {
    let inner = without_outer_blanks(arguments);
    if inner.is_empty() { 0 } else { u32::try_from(inner.len() + 2).unwrap_or(u32::MAX) }
}

/// The pairs of a list. Text before the first pair belongs to none.
pub fn pairs(arguments: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let inner = without_outer_blanks(arguments);
    let mut begins = starts(inner).peekable();
    std::iter::from_fn(move || {
        let (start, equals) = begins.next()?;
        let end = begins.peek().map_or(inner.len(), |&(next, _)| next - 1);
        // The blank before the next pair is not part of the value; `equals` may touch it where the value is empty.
        Some(Pair { name: &inner[start..equals], value: &inner[equals + 1..end.max(equals + 1)] })
    })
}

/// The value of an argument without the number it begins with (`SPEC` 1.4, `argv`): `0` → ``, `-110(ETIMEDOUT)` →
/// `(ETIMEDOUT)`, `3(<f>/etc/passwd)` → `(<f>/etc/passwd)`.
///
/// A number is the whole value, or something other than a letter, a digit, `_`, `.` or `:` follows it: addresses (`7FE87C0D`,
/// `10.0.0.1`) and times stay whole.
pub fn without_number(value: &[u8]) -> &[u8] {
    let unsigned = value.strip_prefix(b"-").unwrap_or(value);
    let digits = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &unsigned[digits..];
    let is_number = digits > 0
        && rest.first().is_none_or(|&byte| !is_argument_name_byte(byte) && !matches!(byte, b'.' | b':'));
    if is_number { rest } else { value }
}

/// The arguments of a per-call document: one text an argument, its number taken out, at most `limit` bytes long
/// (cut where a character ends).
pub fn argv(arguments: &[u8], limit: usize) -> impl Iterator<Item = String> + '_ {
    pairs(arguments).map(move |pair| {
        let name = String::from_utf8_lossy(pair.name);
        let value = String::from_utf8_lossy(without_number(pair.value));
        let mut text = format!("{name}={value}");
        text.truncate(text.floor_char_boundary(limit));
        text
    })
}

/// Where each pair starts, and where its `=` is.
#[inline]
fn starts(arguments: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    memchr_iter(b'=', arguments).filter_map(move |equals| {
        let before = &arguments[..equals];
        let name = before.iter().rev().take_while(|&&byte| is_argument_name_byte(byte)).count();
        let start = equals - name;
        let stands_alone = start == 0 || arguments[start - 1] == b' ';
        (name > 0 && stands_alone).then_some((start, equals))
    })
}

/// Takes away one blank at each end.
#[inline]
fn without_outer_blanks(arguments: &[u8]) -> &[u8] {
    let inner = arguments.strip_prefix(b" ").unwrap_or(arguments);
    inner.strip_suffix(b" ").unwrap_or(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn argv_of(arguments: &str) -> Vec<String> {
        argv(arguments.as_bytes(), 80).collect()
    }

    #[test]
    fn the_published_document_has_one_argument_of_seven_characters() {
        for printed in [" res=0 ", "res=0 ", "res=0"] {
            assert_eq!(count(printed.as_bytes()), 1, "{printed:?}");
            assert_eq!(length(printed.as_bytes()), 7, "{printed:?}");
            assert_eq!(argv_of(printed), ["res="], "{printed:?}");
        }
    }

    #[test]
    fn no_arguments_are_none() {
        for none in ["", " ", "  "] {
            assert_eq!((count(none.as_bytes()), length(none.as_bytes())), (0, 0), "{none:?}");
            assert_eq!(argv_of(none), [""; 0]);
        }
    }

    #[test]
    fn numbers_at_the_start_of_a_value_are_dropped() {
        assert_eq!(argv_of(" res=-110(ETIMEDOUT) "), ["res=(ETIMEDOUT)"]);
        assert_eq!(
            argv_of("fd=3(<f>/etc/passwd) name=/etc/passwd"),
            ["fd=(<f>/etc/passwd)", "name=/etc/passwd"]
        );
        assert_eq!(
            argv_of("addr=7FE87C0D6F28 sa=10.0.0.1:80 n=-x d=-"),
            ["addr=7FE87C0D6F28", "sa=10.0.0.1:80", "n=-x", "d=-"]
        );
    }

    #[test]
    fn values_may_hold_blanks_and_be_empty() {
        let arguments = b"res=4 data=GET /bar?x=1 HTTP/1.1 cwd= fdlimit=1024 ";
        let found: Vec<_> = pairs(arguments).map(|pair| (pair.name, pair.value)).collect();
        assert_eq!(
            found,
            [
                (b"res".as_slice(), b"4".as_slice()),
                (b"data", b"GET /bar?x=1 HTTP/1.1"),
                (b"cwd", b""),
                (b"fdlimit", b"1024"),
            ]
        );
        assert_eq!(count(arguments), 4);
        assert_eq!(pairs(b"cwd=").next(), Some(Pair { name: b"cwd", value: b"" }));
        assert_eq!(pairs(b"stray cwd=/").count(), 1);
    }

    #[test]
    fn a_long_argument_is_cut_where_a_character_ends() {
        let cut: Vec<_> = argv("name=aéé".as_bytes(), 7).collect();
        assert_eq!(cut, ["name=a"]);
    }

    proptest! {
        #[test]
        fn any_bytes_have_as_many_pairs_as_are_counted(arguments in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(pairs(&arguments).count(), count(&arguments) as usize);
            prop_assert_eq!(argv(&arguments, 10).count(), count(&arguments) as usize);
            prop_assert!(length(&arguments) as usize <= arguments.len() + 2);
        }

        #[test]
        fn pairs_come_back_as_they_were_put_in(
            list in prop::collection::vec(("[a-z_]{1,8}", "[A-Z0-9/<>().-]{0,12}"), 0..6),
        ) {
            let text = list.iter().fold(String::new(), |text, (name, value)| format!("{text}{name}={value} "));
            let found: Vec<_> = pairs(text.as_bytes())
                .map(|pair| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    (text(pair.name), text(pair.value))
                })
                .collect();
            prop_assert_eq!(found, list);
        }
    }
}
