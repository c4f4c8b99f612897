//! From windows to frames: how strong is a burst of unseen windows?
//!
//! A single mismatch means little: normal programs take a new turn now and then, and each new turn makes up to `n` unseen windows in a
//! row. An intrusion runs *other code*: unseen windows come thick. Hofmeyr, Forrest and Somayaji (1998) count the mismatches among the
//! last 20 windows (a *locality frame*); that count saturates at 20, where, without thread ids, normal interleavings reach it too.
//! This is the same idea without a ceiling in reach, Page's cumulative sum (E. S. Page, "Continuous inspection schemes", Biometrika
//! 41, 1954), which is the optimal test for a change in the rate of rare events: the *level* rises by one for an unseen window
//! and falls by an eighth for a known one, never below zero. The ratio 8 is what the likelihood ratio gives where some windows in a
//! thousand are unseen normally and a third to a half under attack.
//!
//! There is a level a thread, so that busy neighbours do not dilute a burst, and one a container, so that a crowd of short
//! processes adds up. The raw score of a frame is the highest level reached *at an unseen window* of it: after an
//! attack has ended, normal frames are normal at once. Levels go on from segment to segment, so a burst is as strong however the
//! stream was cut.

use crate::{
    detector::verdict,
    sequences::{Runs, ThreadState},
};

/// Levels are counted in this fraction of a window.
pub(crate) const UNITS_PER_WINDOW: u32 = 8;

/// Highest level, windows: it bounds for how long an attack that is over makes the next small novelty look grave.
pub(crate) const CEILING_WINDOWS: u32 = 512;

const CEILING: u32 = CEILING_WINDOWS * UNITS_PER_WINDOW;

/// What the windows of one frame come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FrameNovelty {
    pub(crate) windows: u32,
    pub(crate) unseen: u32,
    /// Highest level at an unseen window, in units.
    pub(crate) peak: u32,
    /// The call at which the container's level last rose from zero, if that is in this frame: here a burst begins. (The last
    /// zero before an alarm is Page's estimate of when the change happened.)
    pub(crate) begins: Option<u32>,
    /// The same as it was when the peak was reached.
    pub(crate) peak_begins: Option<u32>,
}

/// Levels of one model in one container while a segment is gone through.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    /// One a run of the segment.
    pub(crate) runs: Vec<u32>,
}

impl Levels {
    /// Takes up the levels where the threads were left.
    pub(crate) fn begin<'state>(
        &mut self,
        runs: &Runs,
        model: usize,
        state: impl Fn(Option<i64>) -> Option<&'state ThreadState>,
    ) {
        self.runs.clear();
        self.runs.extend(runs.all.iter().map(|run| {
            let state = if run.continues { state(run.thread) } else { None };
            state.and_then(|state| state.levels.get(model).copied()).unwrap_or(0)
        }));
    }

    /// Goes through the segment, `frame` calls at a time. `verdicts` lie as the calls of `runs`.
    pub(crate) fn advance(
        &mut self,
        runs: &Runs,
        verdicts: &[u8],
        container: &mut u32,
        frame: usize,
    ) -> Vec<FrameNovelty> {
        let frames = runs.place.chunks(frame).zip(runs.run.chunks(frame)).enumerate();
        frames
            .map(|(number, (places, owners))| {
                let mut novelty = FrameNovelty::default();
                for (offset, (&place, &owner)) in places.iter().zip(owners).enumerate() {
                    let verdict = verdicts[place as usize];
                    let level = &mut self.runs[owner as usize];
                    if verdict == verdict::UNSEEN {
                        if *container == 0 {
                            novelty.begins = Some((number * frame + offset) as u32);
                        }
                        *level = level.saturating_add(UNITS_PER_WINDOW).min(CEILING);
                        *container = container.saturating_add(UNITS_PER_WINDOW).min(CEILING);
                        novelty.windows += 1;
                        novelty.unseen += 1;
                        let highest = (*level).max(*container);
                        if highest > novelty.peak {
                            novelty.peak = highest;
                            novelty.peak_begins = novelty.begins;
                        }
                    } else if verdict != verdict::NO_WINDOW {
                        *level = level.saturating_sub(1);
                        *container = container.saturating_sub(1);
                        novelty.windows += 1;
                    }
                }
                novelty
            })
            .collect()
    }
}

/// A level as a raw score, windows.
pub(crate) fn raw_score(level: u32) -> f64 {
    f64::from(level) / f64::from(UNITS_PER_WINDOW)
}
