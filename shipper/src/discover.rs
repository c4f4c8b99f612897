//! Which files are to be followed, and which files are earlier ones of the same log.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{ShipperConfig, ShipperError};

/// What a path is to the shipper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is to be followed.
    Stream,
    /// It looks like a rotated file of the log that has this path.
    RotatedFrom(PathBuf),
    /// Nothing.
    Other,
}

/// The patterns, and where to look for what they match.
#[derive(Debug)]
pub(crate) struct Discovery {
    include: GlobSet,
    exclude: GlobSet,
    files: BTreeSet<PathBuf>,
    roots: Vec<Root>,
}

/// A directory without wildcards from which a pattern goes on.
#[derive(Debug, PartialEq, Eq)]
struct Root {
    directory: PathBuf,
    /// How many directories deep files may match; `None` for any.
    depth: Option<usize>,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) directories: Vec<PathBuf>,
    /// Regular files and links, in order.
    pub(crate) files: BTreeSet<PathBuf>,
}

impl Discovery {
    pub(crate) fn new(config: &ShipperConfig) -> Result<Self, ShipperError> {
        let absolute = |path: &Path, key| {
            std::path::absolute(path).map(|path| normalize(&path)).map_err(|error| ShipperError::Config {
                key,
                message: format!("`{}`: {error}", path.display()),
            })
        };
        let mut include = GlobSetBuilder::new();
        let mut roots = Vec::new();
        for pattern in &config.include {
            let full = absolute(Path::new(pattern), "include")?;
            let full = full.to_str().ok_or_else(|| ShipperError::Config {
                key: "include",
                message: format!("`{pattern}`: the working directory is not UTF-8; give an absolute pattern"),
            })?;
            include.add(compile(full, "include")?);
            roots.push(root_of(full));
        }
        let mut exclude = GlobSetBuilder::new();
        for pattern in &config.exclude {
            let full = if pattern.contains('/') {
                absolute(Path::new(pattern), "exclude")?.to_string_lossy().into_owned()
            } else {
                format!("**/{pattern}")
            };
            exclude.add(compile(&full, "exclude")?);
        }
        let files: BTreeSet<PathBuf> =
            config.files.iter().map(|path| absolute(path, "files")).collect::<Result<_, _>>()?;
        for file in &files {
            let directory = file.parent().unwrap_or(Path::new("/")).to_owned();
            let root = Root { directory, depth: Some(0) };
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        let built = |set: GlobSetBuilder, key| {
            set.build().map_err(|error| ShipperError::Config { key, message: error.to_string() })
        };
        Ok(Self { include: built(include, "include")?, exclude: built(exclude, "exclude")?, files, roots })
    }

    fn is_included(&self, path: &Path) -> bool {
        (self.files.contains(path) || self.include.is_match(path)) && !self.exclude.is_match(path)
    }

    /// What `path` is. A file with the name of a rotated one belongs to the log it was rotated from if that one is included. If it is
    /// included itself, too, this holds only where that log `is_known` or there; else it is a log of its own.
    pub(crate) fn role(&self, path: &Path, is_known: impl Fn(&Path) -> bool) -> Role {
        if let Some(base) = rotation_base(path)
            && self.is_included(&base)
            && (!self.is_included(path) || is_known(&base) || base.symlink_metadata().is_ok())
        {
            return Role::RotatedFrom(base);
        }
        if self.is_included(path) { Role::Stream } else { Role::Other }
    }

    /// Everything below the roots that may matter.
    pub(crate) fn walk(&self) -> Found {
        let mut found = Found::default();
        let mut seen = BTreeSet::new();
        for root in &self.roots {
            self.walk_directory(&root.directory, root.depth, &mut seen, &mut found);
        }
        found
    }

    fn walk_directory(
        &self,
        directory: &Path,
        depth: Option<usize>,
        seen: &mut BTreeSet<(PathBuf, Option<usize>)>,
        found: &mut Found,
    ) {
        if !seen.insert((directory.to_owned(), depth)) {
            return;
        }
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::debug!(directory = %directory.display(), %error, "directory cannot be listed");
                }
                return;
            }
        };
        if !found.directories.iter().any(|known| known == directory) {
            found.directories.push(directory.to_owned());
        }
        for entry in entries.filter_map(Result::ok) {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() {
                // Links to directories are not followed: they may lead in circles.
                if depth != Some(0) {
                    self.walk_directory(&path, depth.map(|depth| depth - 1), seen, found);
                }
            } else if self.is_included(&path)
                || rotation_base(&path).is_some_and(|base| self.is_included(&base))
            {
                found.files.insert(path);
            }
        }
    }
}

/// Files beside `path` whose names begin with its name, without itself.
pub(crate) fn siblings(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let other = entry.file_name();
            other.as_bytes().starts_with(name.as_bytes()) && other != name
        })
        .map(|entry| entry.path())
        .collect()
}

/// The files beside `path` that have names of rotated ones of it.
pub(crate) fn rotated_beside(path: &Path) -> Vec<PathBuf> {
    let mut rotated = siblings(path);
    rotated.retain(|candidate| rotation_base(candidate).as_deref() == Some(path));
    rotated.sort_unstable();
    rotated
}

/// The path that a rotated file had: `x.log` for `x.log.3`, `x.log.old`, `x.log-20220331`, `x.log.2022-03-31T18:13`.
/// `None` if the name is not of such a form, or ends in that of a compressed file, which has no lines to read.
pub(crate) fn rotation_base(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.as_bytes();
    let suffix_start = suffix_start(name)?;
    (suffix_start > 0).then(|| path.with_file_name(OsStr::from_bytes(&name[..suffix_start])))
}

/// The number in the name of a file rotated as `.<n>`.
pub(crate) fn rotation_number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.rsplit_once('.')?.1.parse().ok()
}

fn suffix_start(name: &[u8]) -> Option<usize> {
    if let Some(base) = name.strip_suffix(b".old") {
        return Some(base.len());
    }
    let is_suffix_byte =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'T');
    let tail = name.iter().rev().take_while(|byte| is_suffix_byte(byte)).count();
    let (mut start, end) = (name.len() - tail, name.len());
    if !name.last()?.is_ascii_digit() {
        return None;
    }
    // The suffix begins with one of the separators, at a place before a digit.
    while start + 1 < end && !(matches!(name[start], b'-' | b'_' | b'.') && name[start + 1].is_ascii_digit())
    {
        start += 1;
    }
    let suffix = &name[start..];
    let digits = suffix.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits >= 8 {
        return Some(start);
    }
    // A plain number: only the last `.<n>`.
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    let number = &name[dot + 1..];
    (!number.is_empty() && number.iter().all(u8::is_ascii_digit)).then_some(dot)
}

fn compile(pattern: &str, key: &'static str) -> Result<globset::Glob, ShipperError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| ShipperError::Config { key, message: error.to_string() })
}

fn root_of(pattern: &str) -> Root {
    let is_wild = |component: &str| component.contains(['*', '?', '[', '{', '\\']);
    let components: Vec<&str> = pattern.split('/').filter(|component| !component.is_empty()).collect();
    let literal = components
        .iter()
        .position(|component| is_wild(component))
        .unwrap_or(components.len())
        .min(components.len().saturating_sub(1));
    let mut directory = OsString::from_vec(b"/".to_vec());
    directory.push(components[..literal].join("/"));
    // A pattern of alternatives may hold a `/` inside its braces.
    let rest = &components[literal..];
    let any_depth = rest.iter().any(|component| component.contains("**") || component.contains('{'));
    Root { directory: directory.into(), depth: (!any_depth).then(|| rest.len().saturating_sub(1)) }
}

/// Without `.` and, as far as the text alone tells, without `..`.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(name: &str) -> Option<String> {
        rotation_base(Path::new(name)).map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn rotated_files_are_known_by_their_names() {
        for (rotated, original) in [
            ("/l/x.log.1", "/l/x.log"),
            ("/l/x.log.123", "/l/x.log"),
            ("/l/x.log.old", "/l/x.log"),
            ("/l/x.log-20220331", "/l/x.log"),
            ("/l/x.log-20220331-1648750396", "/l/x.log"),
            ("/l/x.log.2022-03-31T18:13", "/l/x.log"),
            ("/l/x-1.log.2", "/l/x-1.log"),
            ("/l/x.1", "/l/x"),
        ] {
            assert_eq!(base(rotated).as_deref(), Some(original), "{rotated}");
        }
        for name in
            ["/l/x.log", "/l/x.log.1.gz", "/l/x-1.log", "/l/x-1", "/l/x.log.1.tmp", "/l/.1", "/l/x.log."]
        {
            assert_eq!(base(name), None, "{name}");
        }
    }

    #[test]
    fn a_walk_finds_what_the_patterns_say() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let not_utf8 = root.join(OsStr::from_bytes(b"\xff.log"));
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        for path in ["x.log", "x.log.1", "x.txt", "skip.log", "a/y.log", "a/b/z.log", "a/b/c/deep.log"] {
            fs::write(root.join(path), b"").unwrap();
        }
        fs::write(&not_utf8, b"").unwrap();
        let find = |include: &[&str], files: &[&str]| {
            let config = ShipperConfig {
                include: include.iter().map(|pattern| format!("{}/{pattern}", root.display())).collect(),
                files: files.iter().map(|path| root.join(path)).collect(),
                exclude: vec!["skip*".to_owned()],
                ..ShipperConfig::default()
            };
            let discovery = Discovery::new(&config).unwrap();
            let found = discovery.walk();
            let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            found.files.iter().map(relative).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(find(&["*.log"], &[]), "x.log x.log.1 \u{fffd}.log");
        assert_eq!(find(&["*/*.log", "./a/../x.log"], &[]), "a/y.log x.log x.log.1");
        assert_eq!(find(&["**/*.log"], &[]), "a/b/c/deep.log a/b/z.log a/y.log x.log x.log.1 \u{fffd}.log");
        assert_eq!(find(&[], &["x.txt", "absent"]), "x.txt");
    }

    #[test]
    fn a_rotated_file_belongs_to_its_log_if_there_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let config = ShipperConfig {
            include: vec![format!("{}/*", directory.path().display())],
            ..ShipperConfig::default()
        };
        let discovery = Discovery::new(&config).unwrap();
        assert_eq!(discovery.role(&path("x.log"), |_| false), Role::Stream);
        assert_eq!(discovery.role(&path("x.log.1"), |_| false), Role::Stream);
        assert_eq!(discovery.role(&path("x.log.1"), |_| true), Role::RotatedFrom(path("x.log")));
        fs::write(path("x.log"), b"").unwrap();
        assert_eq!(discovery.role(&path("x.log.1"), |_| false), Role::RotatedFrom(path("x.log")));
        assert_eq!(discovery.role(Path::new("/elsewhere/x.log"), |_| true), Role::Other);
        let config = ShipperConfig {
            include: vec![format!("{}/*.log", directory.path().display())],
            ..ShipperConfig::default()
        };
        let discovery = Discovery::new(&config).unwrap();
        assert_eq!(discovery.role(&path("y.log.1"), |_| false), Role::RotatedFrom(path("y.log")));
    }

    #[test]
    fn a_broken_pattern_is_refused_by_its_key() {
        let config = ShipperConfig { include: vec!["/a/[".to_owned()], ..ShipperConfig::default() };
        let error = Discovery::new(&config).unwrap_err().to_string();
        assert!(error.contains("`include`") && error.contains("/a/["), "{error}");
    }
}
