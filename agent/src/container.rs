//! Ids of containers, which are also names of files: whatever a recording says, an id is safe as one.

use rastro_model::Container;
use xxhash_rust::xxh3::xxh3_128;

/// Id of what runs in no container.
pub(crate) const HOST: &str = "host";

const DIGITS: usize = 12;

/// The id for a name or an id of any form: `host` and identifiers of at least 12 hexadecimal digits (their first 12) are kept,
/// anything else becomes 12 digits of its hash. The result never holds a byte that means something to a file system.
pub(crate) fn container_id(name: &[u8]) -> String {
    let is_id =
        name.len() >= DIGITS && name.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    if name == HOST.as_bytes() {
        HOST.to_owned()
    } else if is_id {
        String::from_utf8_lossy(&name[..DIGITS]).into_owned()
    } else {
        format!("{:032x}", xxh3_128(name))[..DIGITS].to_owned()
    }
}

/// The container that a file name stands for: the id from the stem, the name the stem itself.
pub(crate) fn container_of_stem(stem: &[u8]) -> Container {
    Container { id: container_id(stem), name: Some(String::from_utf8_lossy(stem).into_owned()), image: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_and_anything_else_is_hashed() {
        assert_eq!(container_id(b"host"), "host");
        assert_eq!(container_id(b"0123456789ab"), "0123456789ab");
        assert_eq!(container_id(b"0123456789abcdef"), "0123456789ab");
        for other in [&b"web-01"[..], b"../../etc/passwd", b"", b"0123456789AB", b"0123456789a", b"\xff\n"] {
            let id = container_id(other);
            assert_eq!(id.len(), 12);
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            assert_eq!(id, container_id(other));
        }
        assert_ne!(container_id(b"web-01"), container_id(b"web-02"));
    }
}
