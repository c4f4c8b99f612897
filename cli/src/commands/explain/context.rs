//! The calls around the first unusual one.

use std::collections::VecDeque;

use rastro_model::{Reason, Segment, errno};
use rastro_store::Store;
use serde::Serialize;

use super::findings;
use crate::output::text;

/// Segments before the alarm's that are looked into for calls of the thread.
const SEGMENTS_BEFORE: usize = 8;

/// One call of the context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ContextCall {
    pub(super) time: String,
    pub(super) thread: Option<i64>,
    pub(super) process: Option<i64>,
    pub(super) process_name: Option<String>,
    pub(super) name: String,
    pub(super) result: Option<i64>,
    pub(super) error: Option<&'static str>,
    pub(super) arguments: Option<String>,
    /// It belongs to the first unusual sequence.
    pub(super) unusual: bool,
}

/// What `reason` names (the frame's first call without a reason) with up to `around` calls before and after it: of its thread
/// where the source gives threads, else of the container.
pub(super) async fn around(
    store: &dyn Store,
    segment: &Segment,
    reason: Option<&Reason>,
    first_call: u32,
    around: usize,
) -> anyhow::Result<Vec<ContextCall>> {
    let place = reason.and_then(findings::call_of).unwrap_or(first_call) as usize;
    if place >= segment.calls.len() {
        return Ok(Vec::new());
    }
    let length = match reason {
        Some(Reason::UnseenSequence { calls, .. }) => calls.len(),
        Some(Reason::UnseenBag { calls, .. }) => calls.iter().map(|(_, count)| *count as usize).sum(),
        _ => 1,
    };
    let thread = segment.calls.threads[segment.calls.thread[place] as usize].id;
    let of_thread = |segment: &Segment, call: usize| {
        segment.calls.threads[segment.calls.thread[call] as usize].id == thread
    };
    let wanted_before = around.saturating_add(length.saturating_sub(1));
    let mut calls = VecDeque::new();
    for call in (0..=place).rev().filter(|&call| of_thread(segment, call)).take(wanted_before + 1) {
        calls.push_front(context_call(segment, call));
    }
    let mut earlier = store.segment_before(segment.id).await?;
    for _ in 0..SEGMENTS_BEFORE {
        let Some(before) = earlier.filter(|_| calls.len() <= wanted_before) else { break };
        for call in (0..before.calls.len()).rev().filter(|&call| of_thread(&before, call)) {
            if calls.len() > wanted_before {
                break;
            }
            calls.push_front(context_call(&before, call));
        }
        earlier = store.segment_before(before.id).await?;
    }
    let end = calls.len();
    for call in calls.range_mut(end.saturating_sub(length)..end) {
        call.unusual = true;
    }
    let after = (place + 1..segment.calls.len()).filter(|&call| of_thread(segment, call)).take(around);
    calls.extend(after.map(|call| context_call(segment, call)));
    Ok(calls.into())
}

fn context_call(segment: &Segment, call: usize) -> ContextCall {
    let thread = &segment.calls.threads[segment.calls.thread[call] as usize];
    let result = segment.calls.result_of(call);
    let detail = segment.details.binary_search_by_key(&(call as u32), |detail| detail.call).ok();
    ContextCall {
        time: text::rfc3339(segment.calls.time_ns[call]),
        thread: thread.id,
        process: thread.process,
        process_name: thread.process_name.clone(),
        name: segment.calls.name(call).to_owned(),
        result,
        error: result.and_then(errno::of_result),
        arguments: detail.map(|place| segment.details[place].arguments.trim().to_owned()),
        unusual: false,
    }
}
