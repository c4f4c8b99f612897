//! Paths in arguments, and their shapes.
//!
//! A path names an object; its *shape* names a habit: `/var/www/uploads/img0731.png` becomes `/var/www/…3/*.png`. Programs open other files
//! every day, but seldom files of another shape.

use std::fmt::Write;

/// Arguments that are paths.
const PATH_KEYS: &[&str] = &[
    "exe", "filename", "linkpath", "name", "newpath", "oldpath", "path", "pathname", "source", "special",
    "target",
];

/// Directories that a shape keeps by name.
const DIRECTORIES: usize = 2;

/// Longest shape, bytes.
pub(crate) const MAX_SHAPE: usize = 128;

/// Longest extension that is kept, bytes.
const MAX_EXTENSION: usize = 8;

/// A part of a name that is hexadecimal and at least so long is taken for an id.
const SHORTEST_ID: usize = 8;

/// The paths in the printed arguments of one call, in their order. Relative ones are taken as the source resolved them, or as they
/// are.
pub(crate) fn paths(arguments: &str) -> Vec<&str> {
    let mut paths = Vec::new();
    let mut rest = arguments;
    while let Some((key, value, after)) = next_pair(rest) {
        rest = after;
        if PATH_KEYS.binary_search(&key).is_ok() {
            paths.extend(path_of(value));
        }
    }
    paths
}

/// The next `key=value` and what follows it. A value ends where a blank and the next key follow.
fn next_pair(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start();
    let (mut key, mut rest) = text.split_once('=')?;
    // What is before the key belongs to nothing.
    key = key.rsplit(char::is_whitespace).next().unwrap_or(key);
    let mut end = rest.len();
    for (place, _) in rest.match_indices(' ') {
        let next = rest[place + 1..].trim_start();
        let is_key = next.split_once('=').is_some_and(|(key, _)| {
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        if is_key {
            end = place;
            break;
        }
    }
    let value = rest[..end].trim_end();
    rest = &rest[end..];
    Some((key, value, rest))
}

/// The path in a value: `/x`, `"/x"`, or the resolved one of `x(/y/x)`.
fn path_of(value: &str) -> Option<&str> {
    let value = value.trim_matches('"');
    if let Some((_, resolved)) = value.strip_suffix(')').and_then(|value| value.rsplit_once('('))
        && resolved.starts_with('/')
    {
        return Some(resolved);
    }
    let is_none = value.is_empty() || value == "<NA>" || value == "NULL";
    (!is_none).then_some(value)
}

/// The shape of a path that is opened, made or removed: its first directories, its depth, its extension; digits as `0`.
pub(crate) fn shape(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let file = parts.pop().unwrap_or("");
    let mut shape = String::new();
    if path.starts_with('/') {
        shape.push('/');
    }
    for part in parts.iter().take(DIRECTORIES) {
        folded(part, &mut shape);
        shape.push('/');
    }
    if parts.len() > DIRECTORIES {
        let _ = write!(shape, "…{}/", parts.len());
    }
    // A file right under the root or in the working directory is known by name; others by extension.
    let extension =
        file.rsplit_once('.').filter(|(stem, extension)| !stem.is_empty() && !extension.is_empty());
    match extension {
        Some((_, extension)) if extension.len() <= MAX_EXTENSION => {
            shape.push_str("*.");
            folded(extension, &mut shape);
        }
        _ if parts.len() < DIRECTORIES => folded(file, &mut shape),
        _ => shape.push('*'),
    }
    cut(shape)
}

/// The name of a program that is executed: its whole path; digits as `0`.
pub(crate) fn program(path: &str) -> String {
    let mut name = String::new();
    for (place, part) in path.split('/').enumerate() {
        if place > 0 {
            name.push('/');
        }
        folded(part, &mut name);
    }
    cut(name)
}

/// `part` with every run of digits as one `0` and what looks like an id as `<id>`.
fn folded(part: &str, into: &mut String) {
    for piece in part.split_inclusive(['-', '_', '.', ':']) {
        let (word, separator) = match piece.char_indices().next_back() {
            Some((end, '-' | '_' | '.' | ':')) => piece.split_at(end),
            _ => (piece, ""),
        };
        let is_id = word.len() >= SHORTEST_ID
            && word.bytes().all(|byte| byte.is_ascii_hexdigit())
            && word.bytes().any(|byte| byte.is_ascii_digit());
        if is_id {
            into.push_str("<id>");
        } else {
            let mut was_digit = false;
            for character in word.chars() {
                let is_digit = character.is_ascii_digit();
                if !is_digit {
                    into.push(character);
                } else if !was_digit {
                    into.push('0');
                }
                was_digit = is_digit;
            }
        }
        into.push_str(separator);
    }
}

fn cut(mut shape: String) -> String {
    shape.truncate(shape.floor_char_boundary(MAX_SHAPE));
    shape
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_sorted_for_the_search_in_them() {
        assert!(PATH_KEYS.is_sorted());
    }

    #[test]
    fn paths_are_found_as_sysdig_prints_them() {
        let opened = "fd=3(<f>/etc/passwd) dirfd=-100(AT_FDCWD) name=/etc/my passwd flags=1(O_RDONLY) mode=0 dev=200024";
        assert_eq!(paths(opened), ["/etc/my passwd"]);
        assert_eq!(paths("fd=-2(ENOENT) name=app.py(/srv/app/app.py) flags=0"), ["/srv/app/app.py"]);
        assert_eq!(paths("res=0 exe=/bin/sh args=-c.ls. tid=7 filename=/bin/dash"), ["/bin/sh", "/bin/dash"]);
        assert_eq!(paths("oldpath=/tmp/a newpath=/etc/cron.d/b "), ["/tmp/a", "/etc/cron.d/b"]);
        assert!(paths("res=0 name=<NA> path=").is_empty());
        assert!(paths("").is_empty() && paths("no pairs at all").is_empty());
    }

    #[test]
    fn shapes_keep_directories_depth_and_extension() {
        for (path, expected) in [
            ("/var/www/uploads/img0731.png", "/var/www/…3/*.png"),
            ("/etc/passwd", "/etc/passwd"),
            ("/proc/4711/status", "/proc/0/*"),
            ("/tmp/a1b2c3d4e5", "/tmp/<id>"),
            ("/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/…3/*.0"),
            ("data.csv", "*.csv"),
            ("/", "/"),
            ("/srv/.bashrc", "/srv/.bashrc"),
        ] {
            assert_eq!(shape(path), expected, "{path}");
        }
        assert_eq!(program("/usr/bin/python3.11"), "/usr/bin/python0.0");
        assert_ne!(program("/bin/sh"), program("/tmp/sh"));
    }

    proptest! {
        #[test]
        fn any_text_has_bounded_shapes(text in "\\PC{0,300}") {
            for path in paths(&text) {
                prop_assert!(shape(path).len() <= MAX_SHAPE && program(path).len() <= MAX_SHAPE);
            }
        }

        #[test]
        fn paths_that_differ_in_digits_have_one_shape(a in 0u32..100_000, b in 0u32..100_000) {
            let path = |number: u32| format!("/var/log/app/run-{number}.log{number}");
            prop_assert_eq!(shape(&path(a)), shape(&path(b)));
        }
    }
}
