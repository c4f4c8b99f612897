//! What must not be learned from: calls of a container while it was in alarm.
//!
//! Who can make an attack part of the profile has made it invisible for ever. So what the live analysis alarmed on is left out,
//! unless someone says that it was a false alarm.

use rastro_model::Segment;
use rastro_store::{AlarmQuery, Store, StoreError};

use crate::roles::analyzer::LIVE;

/// Containers with the times at which they were in alarm.
#[derive(Debug, Default)]
pub(super) struct Alarmed {
    spans: Vec<Span>,
}

#[derive(Debug)]
struct Span {
    node: String,
    container: String,
    index: String,
    start_ns: i64,
    end_ns: i64,
}

impl Alarmed {
    /// All that the live analysis has found. An alarm is over once its container has been quiet for `gap_ns`.
    pub(super) async fn of(store: &dyn Store, gap_ns: i64) -> Result<Self, StoreError> {
        let query = AlarmQuery { job: Some(LIVE.to_owned()), ..AlarmQuery::default() };
        let spans = store.alarms(&query).await?.into_iter().map(|alarm| Span {
            node: alarm.node,
            container: alarm.container.id,
            index: alarm.index,
            start_ns: alarm.start_ns,
            end_ns: alarm.end_ns.saturating_add(gap_ns),
        });
        Ok(Self { spans: spans.collect() })
    }

    /// Whether the segment holds calls of a container in alarm.
    pub(super) fn holds(&self, segment: &Segment) -> bool {
        let times = &segment.calls.time_ns;
        let (Some(&first), Some(&last)) = (times.iter().min(), times.iter().max()) else { return false };
        self.spans.iter().any(|span| {
            span.container == segment.container.id
                && span.node == segment.node
                && span.index == segment.index
                && span.start_ns <= last
                && first <= span.end_ns
        })
    }
}

#[cfg(test)]
mod tests {
    use rastro_model::{Calls, Container, Position, SegmentId, StreamId, Tally};

    use super::*;

    fn segment(container: &str, first: i64, last: i64) -> Segment {
        Segment {
            id: SegmentId { stream: StreamId(1), start: Position::START, part: 0 },
            dataset: "web".to_owned(),
            index: "web-1".to_owned(),
            node: "n".to_owned(),
            architecture: "x86_64".to_owned(),
            container: Container { id: container.to_owned(), ..Container::default() },
            end: Position::new(0, 1),
            gap: None,
            read_ns: 0,
            tally: Tally::default(),
            calls: Calls { time_ns: vec![last, first], ..Calls::default() },
            unfinished: Vec::new(),
            details: Vec::new(),
        }
    }

    #[test]
    fn what_touches_an_alarm_of_its_container_is_left_out() {
        let span = |container: &str, start_ns, end_ns| Span {
            node: "n".to_owned(),
            container: container.to_owned(),
            index: "web-1".to_owned(),
            start_ns,
            end_ns,
        };
        let alarmed = Alarmed { spans: vec![span("a", 100, 200), span("a", 500, 500)] };
        for (container, first, last, holds) in [
            ("a", 0, 99, false),
            ("a", 0, 100, true),
            ("a", 150, 160, true),
            ("a", 200, 300, true),
            ("a", 201, 499, false),
            ("a", 400, 600, true),
            ("b", 150, 160, false),
        ] {
            assert_eq!(alarmed.holds(&segment(container, first, last)), holds, "{container} {first}–{last}");
        }
    }
}
