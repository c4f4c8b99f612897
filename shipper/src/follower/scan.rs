//! The follower's eyes: which files there are, which streams begin, which are forgotten.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rastro_broker::StreamEnd;
use rastro_model::GapReason;

use super::Follower;
use crate::{
    ShipperError,
    arrivals::{identity_at, likeness},
    claims::Claims,
    discover::{Role, rotation_base},
    fingerprint::identity,
    resume::{self, Knowledge, Start},
    stream::stream_id,
    tail::open_regular,
};

/// How long a stream without files is remembered.
const FORGET_AFTER: Duration = Duration::from_hours(24);

/// Looking at everything takes at most this part of the time: with very many files the poll becomes slower.
const POLL_SHARE: u32 = 200;

/// And this is how slow it becomes at most.
const SLOWEST_POLL: Duration = Duration::from_secs(30);

/// The paths that files with names of rotated ones had, in the directories of `paths`. Each directory is listed once, whatever the
/// number of streams that begin in it.
fn rotated_from(paths: &[PathBuf]) -> HashSet<PathBuf> {
    let directories: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    let entries = directories.into_iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    entries.filter_map(|entry| rotation_base(&entry.ok()?.path())).collect()
}

impl Follower {
    /// Looks for new files and at all known ones.
    pub(crate) fn scan(&mut self) -> Result<(), ShipperError> {
        let walk_started = Instant::now();
        let found = self.discovery.walk();
        let mut is_watched_from_now = false;
        for directory in &found.directories {
            is_watched_from_now |= self.watch.add(directory);
        }
        let mut by_identity = HashMap::new();
        let mut paths: BTreeSet<PathBuf> = self.records.keys().cloned().collect();
        for path in found.files {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            match self.role(&path) {
                Role::Stream => drop(paths.insert(path.clone())),
                Role::RotatedFrom(base) => {
                    self.note_rotated(&base, &metadata);
                    paths.insert(base);
                }
                Role::Other => {}
            }
            by_identity.entry(identity(&metadata)).or_insert(path);
        }
        paths.retain(|path| !self.by_path.contains_key(path));
        let walked = walk_started.elapsed();
        // Those with a record come first: their files may have got names that look like logs of their own.
        let (known, unknown): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| self.records.contains_key(path));
        self.begin_streams(known, &by_identity)?;
        self.begin_streams(unknown, &by_identity)?;
        let look_started = Instant::now();
        for number in 0..self.streams.len() {
            if let Some(stream) = self.streams[number].as_mut() {
                stream.is_dirty = true;
                self.dirty.push_back(number);
            }
        }
        self.look_at_dirty_streams();
        self.forget(&by_identity);
        self.unreadable.retain(|path, _| path.symlink_metadata().is_ok());
        self.scans += 1;
        let spent = walked + look_started.elapsed();
        let pause = self.config.poll_interval.max((spent * POLL_SHARE).min(SLOWEST_POLL));
        // What came into a directory after it was listed and before it was watched was seen by neither.
        self.next_poll = Instant::now() + if is_watched_from_now { self.config.wake_interval } else { pause };
        Ok(())
    }

    fn role(&self, path: &Path) -> Role {
        self.discovery.role(path, |base| self.by_path.contains_key(base) || self.records.contains_key(base))
    }

    /// Makes the stream of `base` look for rotated files if this one is not held by any stream.
    fn note_rotated(&mut self, base: &Path, metadata: &fs::Metadata) {
        if metadata.len() == 0 || !metadata.is_file() || self.claims.is_live(metadata) {
            return;
        }
        if let Some(&number) = self.by_path.get(base)
            && let Some(stream) = self.streams[number].as_mut()
            && !stream.left_alone.contains(&likeness(metadata))
        {
            stream.has_unknown_rotated = true;
        }
    }

    /// Something happened at `paths`. Returns whether one of them is not simply a log that is followed already.
    pub(crate) fn look_at_paths(&mut self, paths: Vec<PathBuf>) -> Result<bool, ShipperError> {
        let mut has_moved = false;
        let mut touched = Vec::new();
        let mut new = BTreeSet::new();
        for path in paths {
            if let Some(&number) = self.by_path.get(&path).or_else(|| self.aliases.get(&path)) {
                touched.push(number);
                continue;
            }
            let log = match self.role(&path) {
                Role::Stream => path,
                Role::RotatedFrom(base) => {
                    if let Ok(metadata) = fs::metadata(&path) {
                        self.note_rotated(&base, &metadata);
                    }
                    base
                }
                Role::Other => continue,
            };
            has_moved = true;
            match self.by_path.get(&log) {
                Some(&number) => touched.push(number),
                None => drop(new.insert(log)),
            }
        }
        if !new.is_empty() {
            self.begin_streams(new.into_iter().collect(), &HashMap::new())?;
        }
        for number in touched {
            if let Some(stream) = self.streams[number].as_mut()
                && !stream.is_dirty
            {
                stream.is_dirty = true;
                self.dirty.push_back(number);
            }
        }
        Ok(has_moved)
    }

    /// Takes up the streams of `paths` where they stand. `by_identity` has the files found, by device and inode.
    fn begin_streams(
        &mut self,
        paths: Vec<PathBuf>,
        by_identity: &HashMap<(u64, u64), PathBuf>,
    ) -> Result<(), ShipperError> {
        // A file that another stream holds has only been renamed; it has no stream of its own.
        let paths: Vec<PathBuf> = paths
            .into_iter()
            .filter(|path| self.records.contains_key(path) || !self.is_claimed(path))
            .collect();
        // First the file, then the directory: what is older than the file is then in the directory.
        let before: Vec<_> = paths.iter().map(|path| identity_at(path)).collect();
        let rotated = rotated_from(&paths);
        // All questions at once: with a broker at the other end of a network each takes a round trip.
        let asked: Vec<_> = paths
            .iter()
            .map(|path| {
                let broker = Arc::clone(&self.broker);
                let id = stream_id(&self.config.node, path);
                self.runtime.spawn(async move { broker.stream_end(id).await })
            })
            .collect();
        for ((path, own), answer) in paths.into_iter().zip(before).zip(asked) {
            let end = self
                .runtime
                .block_on(answer)
                .map_err(|error| ShipperError::Interrupted(error.to_string()))??;
            let alone = own.filter(|_| !rotated.contains(&path));
            self.begin_stream(&path, end, alone, by_identity);
        }
        Ok(())
    }

    fn begin_stream(
        &mut self,
        path: &Path,
        end: Option<StreamEnd>,
        alone: Option<(u64, u64)>,
        by_identity: &HashMap<(u64, u64), PathBuf>,
    ) {
        let id = stream_id(&self.config.node, path);
        if !self.records.contains_key(path) && self.is_claimed(path) {
            return;
        }
        let start = match (end, &self.rewind) {
            (Some(end), _) => Some(Start { end, reason: GapReason::Deleted }),
            (None, Some(stored)) => {
                let (position, next_line) = stored.get(&id).copied().unwrap_or_default();
                Some(Start { end: StreamEnd { position, next_line }, reason: GapReason::Queue })
                    .filter(|_| stored.contains_key(&id) || self.records.contains_key(path))
            }
            (None, None) => None,
        };
        let number = self.streams.len();
        let knowledge = Knowledge {
            start,
            record: self.records.get(path).cloned(),
            found: self.checkpoint_found,
            by_identity,
            alone,
            claims: &self.claims,
        };
        match resume::resume(number, id, path.to_owned(), &knowledge) {
            Ok(stream) => {
                self.records.remove(path);
                self.note_readable(path);
                self.open_files += stream.tails.len();
                self.streams.push(Some(stream));
                self.by_path.insert(path.to_owned(), number);
                self.note_link(path, number);
                self.take_in(number);
                self.make_room();
            }
            Err(error) => self.note_unreadable(path, &error),
        }
    }

    /// Whether the file at `path` belongs to a stream already.
    fn is_claimed(&self, path: &Path) -> bool {
        let Ok(Some((file, metadata))) = open_regular(path) else { return false };
        self.claims.is_others(usize::MAX, &file, &metadata).unwrap_or(false)
    }

    /// A link is watched where its file is.
    pub(crate) fn note_link(&mut self, path: &Path, number: usize) {
        if let Ok(real) = fs::canonicalize(path)
            && real != path
        {
            if let Some(directory) = real.parent() {
                self.watch.add(directory);
            }
            self.aliases.insert(real, number);
        }
    }

    /// Forgets finished files that are gone, and streams that have had no file for long.
    fn forget(&mut self, present: &HashMap<(u64, u64), PathBuf>) {
        let now = Instant::now();
        for number in 0..self.streams.len() {
            let Some(stream) = self.streams[number].as_mut() else { continue };
            stream.forget_finished(|identity| present.contains_key(&identity));
            if !stream.tails.is_empty() || stream.in_flight > 0 {
                stream.gone_since = None;
                continue;
            }
            if now.duration_since(*stream.gone_since.get_or_insert(now)) < FORGET_AFTER {
                continue;
            }
            if let Some(at) = stream.wake {
                self.wakes.remove(&(at, number));
            }
            self.by_path.remove(&stream.path);
            self.aliases.retain(|_, owner| *owner != number);
            let path = std::mem::take(&mut stream.path);
            self.streams[number] = None;
            self.status.send_modify(|status| {
                status.streams.remove(&path);
            });
        }
        let mut claims = Claims::default();
        for stream in self.streams.iter().flatten() {
            claims.add(stream);
        }
        self.claims = claims;
    }
}
