//! The bytes of a recording, plain or gzipped; its content says which, not its name.

use std::{
    fs::{File, Metadata},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;

use crate::{AgentError, Progress, error::IoContext};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const COMPRESSED_READ: usize = 128 * 1024;

/// The text of a recording and how much of its file was read.
pub(crate) struct Input {
    reader: Box<dyn Read + Send>,
    done: Arc<AtomicU64>,
    total: u64,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, AgentError> {
        let (mut file, metadata) = open_file(path)?;
        let mut magic = [0; 2];
        let read = read_up_to(&mut file, &mut magic).context("read", path)?;
        file.seek(SeekFrom::Start(0)).context("read", path)?;
        let is_gzip = magic[..read] == GZIP_MAGIC;
        Ok(Self::decoded(file, metadata.len(), |bytes| {
            if is_gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) }
        }))
    }

    /// An input over bytes that come from elsewhere (a child process), about `total` of them.
    pub(crate) fn from_reader(reader: impl Read + Send + 'static, total: u64) -> Self {
        Self::decoded(reader, total, |counted| Box::new(counted))
    }

    /// An input over `total` bytes that `decode` makes text of.
    pub(crate) fn decoded<R: Read + Send + 'static>(
        reader: R,
        total: u64,
        decode: impl FnOnce(BufReader<Counted<R>>) -> Box<dyn Read + Send>,
    ) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: reader, done: Arc::clone(&done) };
        Self { reader: decode(BufReader::with_capacity(COMPRESSED_READ, counted)), done, total }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress { done_bytes: self.done.load(Ordering::Relaxed).min(self.total), total_bytes: self.total }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Opens a recording. It is read more than once (to see what it is, and again after an interruption), so it must be a file; that is
/// asked first, because opening a pipe waits for whoever writes into it.
pub(crate) fn open_file(path: &Path) -> Result<(File, Metadata), AgentError> {
    let refused = |kind: io::ErrorKind, reason: &str| {
        let source = io::Error::new(kind, reason);
        AgentError::Io { action: "read", path: path.to_owned(), source }
    };
    let metadata = std::fs::metadata(path).context("open", path)?;
    if metadata.is_dir() {
        return Err(refused(io::ErrorKind::IsADirectory, "it is a directory; name the recordings in it"));
    }
    if !metadata.is_file() {
        return Err(refused(
            io::ErrorKind::InvalidInput,
            "it is a pipe or a device, and a recording is read more than once: write it to a file and name that",
        ));
    }
    Ok((File::open(path).context("open", path)?, metadata))
}

/// Reads until `buffer` is full or the end is reached.
pub(crate) fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Counts the bytes that are read.
pub(crate) struct Counted<R> {
    inner: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
