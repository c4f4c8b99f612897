//! Containers of one chunk to numbers.

use std::collections::HashMap;

/// Id of everything that runs outside containers.
pub(crate) const HOST: &str = "host";

/// Most containers of one chunk: far more than a node runs. Each costs a little memory, so there is a bound.
pub(crate) const MAX_CONTAINERS: usize = 4096;

/// Longest id that is kept of a container that is not named by hexadecimal digits, bytes.
const MAX_ID_LENGTH: usize = 64;

/// First 12 of an id's hexadecimal digits, or another name as it is (within a bound).
pub(crate) fn short_id(id: &[u8]) -> String {
    let is_long_id = id.len() > 12 && id.iter().all(u8::is_ascii_hexdigit);
    let kept = if is_long_id { &id[..12] } else { &id[..id.len().min(MAX_ID_LENGTH)] };
    String::from_utf8_lossy(kept).into_owned()
}

/// Numbers of the containers of one chunk, in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    numbers: HashMap<String, u16>,
    /// Lines of one container come in runs.
    last: Option<(Vec<u8>, u16)>,
}

impl Containers {
    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        self.last = None;
    }

    /// The number of the container that a line names, and whether it is new. `None` for one container too many.
    #[inline]
    pub(crate) fn number(&mut self, id: Option<&[u8]>) -> Option<(u16, bool)> {
        let id = id.unwrap_or(HOST.as_bytes());
        match &self.last {
            Some((last, number)) if last == id => Some((*number, false)),
            _ => self.look_up(id),
        }
    }

    fn look_up(&mut self, id: &[u8]) -> Option<(u16, bool)> {
        let short = short_id(id);
        let (number, is_new) = match self.numbers.get(&short) {
            Some(&number) => (number, false),
            None if self.numbers.len() >= MAX_CONTAINERS => return None,
            None => {
                let number = self.numbers.len() as u16;
                self.numbers.insert(short, number);
                (number, true)
            }
        };
        let (last, last_number) = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(id);
        *last_number = number;
        Some((number, is_new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_one_number_by_its_long_and_its_short_id() {
        let mut containers = Containers::default();
        let long = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(containers.number(Some(b"0123456789ab")), Some((0, true)));
        assert_eq!(containers.number(Some(long)), Some((0, false)));
        assert_eq!(containers.number(None), Some((1, true)));
        assert_eq!(containers.number(Some(b"host")), Some((1, false)));
        assert_eq!(containers.number(Some(b"0123456789ab")), Some((0, false)));
        containers.clear();
        assert_eq!(containers.number(None), Some((0, true)));
    }

    #[test]
    fn a_container_too_many_is_refused_and_the_known_ones_stay() {
        let mut containers = Containers::default();
        for number in 0..MAX_CONTAINERS {
            assert_eq!(containers.number(Some(format!("c{number}").as_bytes())), Some((number as u16, true)));
        }
        assert_eq!(containers.number(Some(b"another")), None);
        assert_eq!(containers.number(Some(b"c7")), Some((7, false)));
    }
}
