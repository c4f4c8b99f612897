//! The most anomalous frames, as a table and as documents.

use rastro_model::{Container, FrameScore, ProfileRef, Reason, SegmentId, SegmentScores};
use rastro_store::{ScoreQuery, Store};
use serde::Serialize;

use super::{reason, table, text};

/// One of the most anomalous frames.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TopFrame {
    pub(crate) index: String,
    pub(crate) container: Container,
    pub(crate) time: String,
    pub(crate) segment: SegmentId,
    pub(crate) first_call: u32,
    pub(crate) calls: u32,
    pub(crate) detector: String,
    pub(crate) window: u32,
    pub(crate) profile: ProfileRef,
    pub(crate) windows: u32,
    pub(crate) unseen: u32,
    pub(crate) score: f64,
    pub(crate) threshold: f64,
    pub(crate) alarm: bool,
    pub(crate) lossy: bool,
    pub(crate) learning: bool,
    pub(crate) why: String,
    pub(crate) reasons: Vec<Reason>,
}

impl TopFrame {
    /// A frame of `scores`.
    pub(crate) fn new(
        index: &str,
        container: &Container,
        scores: &SegmentScores,
        frame: &FrameScore,
    ) -> Self {
        Self {
            index: index.to_owned(),
            container: container.clone(),
            time: text::rfc3339(frame.start_ns),
            segment: scores.segment,
            first_call: frame.first_call,
            calls: frame.calls,
            detector: scores.detector.clone(),
            window: scores.window,
            profile: scores.profile.clone(),
            windows: frame.windows,
            unseen: frame.unseen,
            score: frame.score,
            threshold: scores.threshold,
            alarm: frame.alarm,
            lossy: frame.lossy,
            learning: frame.learning,
            why: frame.reasons.first().map_or_else(
                || format!("{} of {} windows were never seen", frame.unseen, frame.windows),
                reason::sentence,
            ),
            reasons: frame.reasons.clone(),
        }
    }
}

/// The `count` frames with the highest scores, each call of the stream told once: where several models score the same frame, the
/// highest score stands for it.
pub(crate) async fn top(
    store: &dyn Store,
    query: &ScoreQuery,
    count: usize,
) -> anyhow::Result<Vec<TopFrame>> {
    let mut frames: Vec<TopFrame> = Vec::new();
    for (stored, frame) in store.top_frames(query, count * 4).await? {
        let Some(score) = stored.scores.frames.get(frame) else { continue };
        let is_told = frames
            .iter()
            .any(|told| told.segment == stored.scores.segment && told.first_call == score.first_call);
        if is_told || says_nothing(score) || frames.len() == count {
            continue;
        }
        frames.push(TopFrame::new(&stored.index, &stored.container, &stored.scores, score));
    }
    Ok(frames)
}

/// Whether a frame had too few calls for a window. That it has none is not enough: a detector that judges frames as a whole counts none.
fn says_nothing(frame: &FrameScore) -> bool {
    frame.windows == 0 && frame.score <= 0.0
}

/// The table for people.
pub(crate) fn print(frames: &[TopFrame]) -> anyhow::Result<()> {
    if frames.is_empty() {
        return Ok(());
    }
    // While a profile is being learned, everything is new at first: that is no anomaly.
    let title = if frames.iter().all(|frame| frame.learning) { "MOST NOVEL" } else { "MOST ANOMALOUS" };
    let mut table = table([title, "CONTAINER", "SCORE", "BY", "WHY"]);
    for frame in frames {
        let name = frame.container.name.as_deref().unwrap_or(&frame.container.id);
        table.add_row([
            frame.time.get(..23).unwrap_or(&frame.time).replace('T', " "),
            text::printable(name),
            format!("{:.1}{}", frame.score, if frame.alarm { " !" } else { "" }),
            format!("{}:{}", frame.detector, frame.window),
            frame.why.clone(),
        ]);
    }
    super::line("")?;
    super::line(table.to_string().trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_judged_as_a_whole_is_told_and_one_too_short_for_a_window_is_not() {
        let frame = |windows, score| FrameScore {
            first_call: 0,
            calls: 5,
            windows,
            unseen: 0,
            raw: score,
            score,
            alarm: false,
            lossy: false,
            learning: false,
            start_ns: 0,
            end_ns: 0,
            reasons: Vec::new(),
        };
        assert!(!says_nothing(&frame(0, 90.0)) && !says_nothing(&frame(1, 0.0)));
        assert!(says_nothing(&frame(0, 0.0)));
    }
}
