//! Looking at the files of a stream: which have grown, were truncated, rotated or deleted.

use std::{
    fs::{self, Metadata},
    io,
};

use rastro_model::{Gap, GapReason};

use super::{Stream, add_gap};
use crate::{
    arrivals::push_arrivals,
    claims::Claims,
    fingerprint::identity,
    locate::{self, Located},
    tail::{Tail, modified_ns},
};

impl Stream {
    /// Looks at the files of the stream: sizes, truncation, rotation, deletion.
    pub(crate) fn look(&mut self, claims: &Claims) -> io::Result<()> {
        self.is_dirty = false;
        let has_unknown_rotated = std::mem::take(&mut self.has_unknown_rotated);
        for index in (0..self.tails.len()).rev() {
            self.look_at_open_tail(index, claims)?;
        }
        let at_path = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.is_file().then_some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match (at_path, self.tails.back_mut()) {
            (Some(metadata), Some(last)) if last.fingerprint.is_at(&metadata) => {
                last.path.clone_from(&self.path);
                if last.file.is_none()
                    && (metadata.len() != last.size || modified_ns(&metadata) != last.modified_ns)
                {
                    self.open_tail(self.tails.len() - 1)?;
                }
            }
            (None, Some(last)) if last.file.is_none() => {
                self.open_tail(self.tails.len() - 1)?;
            }
            (Some(_), _) => return self.take_arrivals(claims),
            (None, _) => {}
        }
        if has_unknown_rotated { self.take_arrivals(claims) } else { Ok(()) }
    }

    fn take_arrivals(&mut self, claims: &Claims) -> io::Result<()> {
        let newest_known = self.newest_known_ns();
        push_arrivals(self, claims, newest_known, None)
    }

    fn look_at_open_tail(&mut self, index: usize, claims: &Claims) -> io::Result<()> {
        let tail = &mut self.tails[index];
        let Some(file) = &tail.file else { return Ok(()) };
        let metadata = file.metadata()?;
        let size = metadata.len();
        let is_changed = size != tail.size || modified_ns(&metadata) != tail.modified_ns;
        let is_same = size >= tail.offset
            && (!is_changed
                || (tail.anchor.matches_at(file, tail.offset)? && tail.fingerprint.head_matches(file)?));
        if !is_same {
            let lost = tail.unread();
            return self.replace_truncated(index, &metadata, lost, claims);
        }
        if size < tail.size {
            let gap = Gap { bytes: tail.size - size, lines: None, reason: GapReason::Truncated };
            add_gap(&mut tail.gap, &gap);
            tail.forget_search();
            self.new_gaps.push(gap);
        }
        self.tails[index].update(&metadata)
    }

    /// The file of tail `index` was truncated, with `lost` bytes unread. If it was copied before (as logrotate's `copytruncate`
    /// does), reading goes on in the copy; then the file begins anew as the next generation.
    pub(super) fn replace_truncated(
        &mut self,
        index: usize,
        metadata: &Metadata,
        mut lost: u64,
        claims: &Claims,
    ) -> io::Result<()> {
        let copy = locate::find_copy(&self.tails[index], self)?;
        let newest_known = self.tails[index].modified_ns;
        tracing::debug!(
            stream = %self.path.display(), generation = self.tails[index].generation,
            offset = self.tails[index].offset, seen = self.tails[index].size, size = metadata.len(),
            copy = copy.as_ref().map(|copy| tracing::field::display(copy.path.display())), "a file was truncated"
        );
        // What follows it, and what was lost behind that, keeps its place behind the new content.
        let mut later = self.tails.split_off(index);
        let untold_gap = self.untold_gap.take();
        let Some(mut old) = later.pop_front() else { return Ok(()) };
        let Some(file) = old.file.take() else { return Ok(()) };
        let old_path = old.path.clone();
        let is_read_as_other = copy.as_ref().is_some_and(|copy| self.holds(&copy.metadata));
        if is_read_as_other && !old.has_lines() {
            // The copy was met before the truncation was, and is read as a file of its own.
            lost = 0;
            self.pass_gap_on(usize::MAX, old.gap.take());
        } else if let Some(copy) = copy {
            lost = old.size.saturating_sub(copy.metadata.len());
            old.continue_in_copy(copy)?;
            self.tails.push_back(old);
        } else {
            let gap = old.gap.take();
            self.pass_gap_on(usize::MAX, gap);
            self.finish(&old);
        }
        if lost > 0 {
            self.lose(Gap { bytes: lost, lines: None, reason: GapReason::Truncated });
        }
        if later.is_empty() {
            // The same may have happened more than once since anybody looked, and the file may have been rotated, too.
            push_arrivals(self, claims, Some(newest_known), None)?;
        }
        if !self.holds(metadata) {
            let generation = self.next_generation();
            self.push_tail(Tail::new(old_path, file, generation)?);
        }
        // None of those that follow may be numbered below it.
        for mut tail in later {
            tail.generation = self.next_generation();
            tail.announced = false;
            self.push_tail(tail);
        }
        self.pass_gap_on(usize::MAX, untold_gap);
        Ok(())
    }

    /// Opens the file of a tail that was closed while it rested, wherever it is now. If it is gone, so is what was unread of it.
    pub(super) fn open_tail(&mut self, index: usize) -> io::Result<()> {
        let tail = &self.tails[index];
        let record = tail.record();
        let located = locate::locate(&record, tail.offset, Some((tail.anchor, tail.offset)), self, None)?;
        let tail = &mut self.tails[index];
        if let Some(located) = located {
            if located.is_copy {
                tail.continue_in_copy(located)?;
            } else {
                tail.path = located.path;
                tail.file = Some(located.file);
                tail.update(&located.metadata)?;
            }
            return Ok(());
        }
        let lost = tail.unread();
        if let Some(mut tail) = self.tails.remove(index) {
            let gap = tail.gap.take();
            self.pass_gap_on(index, gap);
            self.finish(&tail);
        }
        if lost > 0 {
            let gap = Gap { bytes: lost, lines: None, reason: GapReason::Deleted };
            self.pass_gap_on(index, Some(gap.clone()));
            self.new_gaps.push(gap);
        }
        self.is_dirty = true;
        Ok(())
    }
}

impl Tail {
    /// Reading goes on in a copy of the file: its bytes have the same places.
    fn continue_in_copy(&mut self, copy: Located) -> io::Result<()> {
        (self.fingerprint.device, self.fingerprint.inode) = identity(&copy.metadata);
        self.path = copy.path;
        self.file = Some(copy.file);
        self.is_copy = true;
        self.update(&copy.metadata)?;
        self.announced = false;
        Ok(())
    }
}
