//! From windows to frames: how strong is a burst of unseen windows?
//!
//! A single mismatch means little: normal programs take a new turn now and then, and each new turn makes up to `n` unseen windows in a
//! row. An intrusion runs *other code*: unseen windows come thick. Hofmeyr, Forrest and Somayaji (1998) count the mismatches among the
//! last 20 windows (a *locality frame*); that count saturates at 20, where, without thread ids, normal interleavings reach it too.
//! This is the same idea without a ceiling in reach, Page's cumulative sum (E. S. Page, "Continuous inspection schemes", Biometrika
//! 41, 1954), which is the optimal test for a change in the rate of rare events: the *level* rises by one for an unseen window
//! and falls by an eighth for a known one, never below zero; where a detector says more than known or unseen, by the steps that it gives
//! ([`crate::detector::CallJudge::steps`]).
//!
//! There is a level a thread, so that busy neighbours do not dilute a burst, and one a container, so that a crowd of short
//! processes adds up. The raw score of a frame is the highest level reached *at an unseen window* of it: after an
//! attack has ended, normal frames are normal at once. Levels go on from segment to segment, so a burst is as strong however the
//! stream was cut.

use crate::{
    detector::{RawScale, Steps, verdict},
    sequences::{Runs, ThreadState},
};

/// Levels are counted in this fraction of a window.
pub(crate) const UNITS_PER_WINDOW: u32 = 8;

/// Highest level, windows: it bounds for how long an attack that is over makes the next small novelty look grave.
pub(crate) const CEILING_WINDOWS: u32 = 512;

const CEILING: u32 = CEILING_WINDOWS * UNITS_PER_WINDOW;

/// What the windows of one frame come to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct FrameNovelty {
    /// Raw score: the peak in windows, or what a judge of frames said.
    pub(crate) raw: f64,
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
        steps: &Steps,
        container: &mut u32,
        frame: usize,
    ) -> Vec<FrameNovelty> {
        let frames = runs.place.chunks(frame).zip(runs.run.chunks(frame)).enumerate();
        frames
            .map(|(number, (places, owners))| {
                let mut novelty = FrameNovelty::default();
                for (offset, (&place, &owner)) in places.iter().zip(owners).enumerate() {
                    let verdict = verdicts[place as usize];
                    let step = steps[usize::from(verdict)];
                    let level = &mut self.runs[owner as usize];
                    if step > 0 {
                        let step = u32::from(step.unsigned_abs());
                        if *container == 0 {
                            novelty.begins = Some((number * frame + offset) as u32);
                        }
                        *level = level.saturating_add(step).min(CEILING);
                        *container = container.saturating_add(step).min(CEILING);
                        novelty.windows += 1;
                        novelty.unseen += 1;
                        let highest = (*level).max(*container);
                        if highest > novelty.peak {
                            novelty.peak = highest;
                            novelty.peak_begins = novelty.begins;
                        }
                    } else if verdict != verdict::NO_WINDOW {
                        let step = u32::from(step.unsigned_abs());
                        *level = level.saturating_sub(step);
                        *container = container.saturating_sub(step);
                        novelty.windows += 1;
                    }
                }
                novelty.raw = f64::from(novelty.peak) / f64::from(UNITS_PER_WINDOW);
                novelty
            })
            .collect()
    }
}

/// How raw scores are counted that are peaks of this walk over windows of so many calls: a single new turn of a program makes up to that
/// many unseen windows, and two of them side by side are no intrusion.
pub(crate) fn scale(window: u32) -> RawScale {
    RawScale {
        units: UNITS_PER_WINDOW,
        name: "windows",
        least_mean_excess: f64::from(window),
        least_threshold: f64::from(2 * window),
        highest_threshold: f64::from(CEILING_WINDOWS),
    }
}
