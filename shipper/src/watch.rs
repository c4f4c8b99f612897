//! Waking up: inotify on the directories, read at our own pace.
//!
//! This uses the kernel's interface directly (through `rustix`, without unsafe code) and not the `notify` crate, whose thread wakes for
//! every single write: the kernel merges equal events that nobody has read yet, so a queue that is read at most every
//! [`wake_interval`](crate::ShipperConfig::wake_interval) costs the same however fast a file is written. What is missed (an overflow, a
//! directory that cannot be watched) the poll finds.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use xxhash_rust::xxh3::xxh3_64;

/// What happened since the last look.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Names below watched directories at which something happened.
    pub(crate) paths: Vec<PathBuf>,
    /// Directories appeared or went, or events were lost: look at everything.
    pub(crate) everything: bool,
}

/// The watched directories.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Option<Arc<OwnedFd>>,
    directories: HashMap<i32, PathBuf>,
    watched: HashMap<PathBuf, i32>,
    warned: bool,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let mut watch =
            Self { inotify: None, directories: HashMap::new(), watched: HashMap::new(), warned: false };
        match inotify {
            Ok(descriptor) => watch.inotify = Some(Arc::new(descriptor)),
            Err(error) => watch.warn(Path::new("/"), error),
        }
        watch
    }

    /// What becomes readable when something happens.
    pub(crate) fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.inotify.clone()
    }

    /// Watches `directory` from now on; returns whether that is new.
    pub(crate) fn add(&mut self, directory: &Path) -> bool {
        if self.watched.contains_key(directory) {
            return false;
        }
        let Some(inotify) = &self.inotify else { return false };
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(inotify, directory, flags) {
            Ok(watch) => {
                self.directories.insert(watch, directory.to_owned());
                self.watched.insert(directory.to_owned(), watch);
                return true;
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => self.warn(directory, error),
        }
        false
    }

    fn warn(&mut self, directory: &Path, error: Errno) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(
                directory = %directory.display(), %error,
                "changes cannot be watched; they are found by polling. Raise fs.inotify.max_user_watches or max_user_instances"
            );
        }
    }

    /// Takes what has happened.
    pub(crate) fn take(&mut self) -> Events {
        let mut events = Events::default();
        let Some(inotify) = self.inotify.clone() else { return events };
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut seen = HashSet::new();
        let mut reader = Reader::new(&*inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return events,
                Err(error) => {
                    tracing::warn!(error = %io::Error::from(error), "events cannot be read; changes are found by polling");
                    events.everything = true;
                    return events;
                }
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                metrics::counter!("rastro_shipper_watch_overflows_total").increment(1);
                events.everything = true;
                continue;
            }
            if flags.contains(ReadFlags::IGNORED) {
                if let Some(directory) = self.directories.remove(&event.wd()) {
                    self.watched.remove(&directory);
                }
                events.everything = true;
                continue;
            }
            if flags.intersects(ReadFlags::ISDIR | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
                if flags.contains(ReadFlags::MOVE_SELF)
                    && let Some(directory) = self.directories.remove(&event.wd())
                {
                    // Its path leads elsewhere now; the walk watches again what is there.
                    self.watched.remove(&directory);
                    let _ = inotify::remove_watch(&*inotify, event.wd());
                }
                events.everything = true;
                continue;
            }
            if let (Some(directory), Some(name)) = (self.directories.get(&event.wd()), event.file_name()) {
                // Many writes to a few files are many events: each name is made a path once.
                let name = name.to_bytes();
                if seen.insert((event.wd(), xxh3_64(name))) {
                    events.paths.push(directory.join(OsStr::from_bytes(name)));
                }
            }
        }
    }
}
