//! Which files, and their last lines.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use rastro_model::{LogHeader, log_header};

use super::decode::Decoder;

/// Bytes that are read at once when the last lines of a file are looked for.
const BLOCK: u64 = 64 * 1024;

/// The longest line that is shown; what exceeds it is taken for further lines.
const MAX_LINE: u64 = 1 << 20;

/// What to show.
#[derive(Debug)]
pub(super) struct Selection {
    /// Files that are there.
    pub(super) files: Vec<PathBuf>,
    /// Folder whose new log files are to be shown too.
    pub(super) folder: Option<PathBuf>,
}

/// The files that `what` (paths, ids or names of containers) means; every log file of `log_dir` where it is empty.
pub(super) fn select(log_dir: &Path, what: &[String]) -> anyhow::Result<Selection> {
    if what.is_empty() {
        return Ok(Selection { files: logs(log_dir)?, folder: Some(log_dir.to_owned()) });
    }
    let mut files = Vec::new();
    for name in what {
        let path = Path::new(name);
        if path.is_file() {
            files.push(path.to_owned());
            continue;
        }
        if name.contains('/') {
            bail!("there is no file `{name}`");
        }
        let of_container: Vec<_> =
            logs(log_dir)?.into_iter().filter(|log| is_of_container(log, name)).collect();
        if of_container.is_empty() {
            bail!(
                "neither a file nor a container of `{}` is called `{name}`; containers go by id (or its first digits) or name",
                log_dir.display()
            );
        }
        files.extend(of_container);
    }
    files.sort();
    files.dedup();
    Ok(Selection { files, folder: None })
}

/// Log files of the folder that have no decoder yet.
pub(super) fn new_logs(folder: Option<&Path>, known: &HashMap<PathBuf, Decoder>) -> Vec<PathBuf> {
    let logs = folder.and_then(|folder| logs(folder).ok()).unwrap_or_default();
    logs.into_iter()
        .filter_map(|log| log.canonicalize().ok())
        .filter(|log| !known.contains_key(log))
        .collect()
}

/// The `.log` files of a folder; none if the folder is not there yet.
fn logs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the folder `{}`", folder.display()));
        }
    };
    let mut logs: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "log") && path.is_file())
        .collect();
    logs.sort();
    Ok(logs)
}

fn is_of_container(log: &Path, name: &str) -> bool {
    let begins_like_its_id = log.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with(name));
    begins_like_its_id || header(log).is_some_and(|header| header.container.name.as_deref() == Some(name))
}

/// The header of a log file, if it has one.
pub(super) fn header(path: &Path) -> Option<LogHeader> {
    LogHeader::parse(&first_line(path).ok()?).ok()
}

/// The first line of a file without its line break.
pub(super) fn first_line(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(first_lines(path, 1)?.into_iter().next().unwrap_or_default())
}

/// The first lines of a file, plain or gzipped.
pub(super) fn first_lines(path: &Path, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut reader = BufReader::new(open(path)?.1).take(count as u64 * log_header::MAX_LENGTH as u64);
    let mut lines = Vec::new();
    while lines.len() < count {
        let Some(line) =
            next_line(&mut reader).with_context(|| format!("cannot read `{}`", path.display()))?
        else {
            break;
        };
        lines.push(line);
    }
    Ok(lines)
}

/// The last `count` lines of a file, plain or gzipped, without a header.
pub(super) fn last_lines(path: &Path, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let (is_compressed, mut reader) = open(path)?;
    let has_header = header(path).is_some();
    let read = || -> io::Result<Vec<Vec<u8>>> {
        let mut is_whole = true;
        if !is_compressed {
            let mut file = File::open(path)?;
            let start = start_of_last_lines(&mut file, count)?;
            file.seek(SeekFrom::Start(start))?;
            // What is appended meanwhile belongs to the following, not to the past.
            let end = file.metadata()?.len();
            reader = Box::new(file.take(end - start.min(end)));
            is_whole = start == 0;
        }
        // One more, so that a header can be told from a line that looks like one; no more than that, though a file without a line break
        // is read from its beginning.
        let mut lines = all_lines(reader, count.saturating_add(1))?;
        let header_is_among_them =
            has_header && is_whole && lines.front().is_some_and(|line| line.starts_with(log_header::MAGIC));
        if header_is_among_them || lines.len() > count {
            lines.pop_front();
        }
        Ok(lines.into())
    };
    read().with_context(|| format!("cannot read `{}`", path.display()))
}

fn all_lines(reader: impl Read, keep: usize) -> io::Result<VecDeque<Vec<u8>>> {
    let mut reader = BufReader::new(reader);
    let mut lines = VecDeque::new();
    while let Some(line) = next_line(&mut reader)? {
        if lines.len() == keep {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    Ok(lines)
}

/// Where the last `count` lines begin. A last line without line break counts as one.
fn start_of_last_lines(file: &mut File, count: usize) -> io::Result<u64> {
    let mut position = file.metadata()?.len();
    let mut breaks = 0;
    let end = position;
    let mut block = Vec::new();
    while position > 0 {
        let start = position.saturating_sub(BLOCK);
        block.resize((position - start) as usize, 0);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        for (offset, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let place = start + offset as u64 + 1;
            // The break at the very end closes the last line.
            breaks += usize::from(place != end);
            if breaks == count || count == 0 {
                return Ok(if count == 0 { end } else { place });
            }
        }
        position = start;
    }
    Ok(0)
}

fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if reader.take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

/// The file's content, unpacked if it is gzipped (told by its content, not its name), and whether it was.
fn open(path: &Path) -> anyhow::Result<(bool, Box<dyn Read>)> {
    let open = || -> io::Result<(bool, Box<dyn Read>)> {
        let mut file = File::open(path)?;
        let mut magic = Vec::new();
        file.by_ref().take(2).read_to_end(&mut magic)?;
        file.rewind()?;
        let is_compressed = magic == [0x1f, 0x8b];
        Ok((is_compressed, if is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) }))
    };
    open().with_context(|| format!("cannot read `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn texts(lines: Vec<Vec<u8>>) -> Vec<String> {
        lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn the_last_lines_are_those_that_tail_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let lines: Vec<String> =
            (0..5000).map(|number| format!("line {number} {}", "x".repeat(number % 50))).collect();
        for ending in ["\n", ""] {
            fs::write(&path, lines.join("\n") + ending).unwrap();
            for count in [0, 1, 2, 10, 3000, 4999, 5000, 6000] {
                let expected = &lines[5000 - count.min(5000)..];
                assert_eq!(texts(last_lines(&path, count).unwrap()), expected, "{count} {ending:?}");
            }
        }
        fs::write(&path, "x".repeat(5 * MAX_LINE as usize + 7)).unwrap();
        assert_eq!(
            last_lines(&path, 2).unwrap().iter().map(Vec::len).collect::<Vec<_>>(),
            [MAX_LINE as usize, 7]
        );
        assert!(last_lines(&path, 0).unwrap().is_empty());
        fs::write(&path, "").unwrap();
        assert!(last_lines(&path, 3).unwrap().is_empty());
    }

    #[test]
    fn a_header_is_no_line_and_only_the_first_line_can_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let container =
            rastro_model::Container { id: "0123456789ab".into(), name: Some("shop".into()), image: None };
        let header = LogHeader {
            version: 1,
            format: "%evt.type".into(),
            dataset: None,
            container,
            architecture: None,
            date: None,
        };
        let header = String::from_utf8(header.to_line().unwrap()).unwrap();
        let content = format!("{header}one\n{header}two\n");
        let plain = folder.path().join("0123456789ab.log");
        fs::write(&plain, &content).unwrap();
        let packed = folder.path().join("packed.log");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
        encoder.write_all(content.as_bytes()).unwrap();
        encoder.finish().unwrap();
        for path in [&plain, &packed] {
            assert_eq!(texts(last_lines(path, 10).unwrap()), ["one", header.trim_end(), "two"]);
            assert_eq!(texts(last_lines(path, 1).unwrap()), ["two"]);
        }
        let names = |what: &[&str]| {
            let what: Vec<_> = what.iter().map(|&name| name.to_owned()).collect();
            select(folder.path(), &what).map(|selection| selection.files.len())
        };
        assert_eq!(names(&[]).unwrap(), 2);
        assert_eq!(names(&["0123"]).unwrap(), 1);
        assert_eq!(names(&["shop"]).unwrap(), 2);
        assert!(names(&["other"]).unwrap_err().to_string().contains("`other`"));
        assert!(names(&["/no/such/file"]).is_err());
    }
}
