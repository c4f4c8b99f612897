//! Alarms and their reasons.

use std::sync::Arc;

use rastro_analyzer::{Profile, Scorer, ScoringOptions};
use rastro_model::{Alarm, Detail, Reason, Segment};

use crate::support::{Call, segment, segments, trained};

/// A server's round: quiet and always the same.
const ROUND: [&str; 6] = ["poll", "accept", "read", "write", "close", "futex"];

/// What an intruder does, again and again.
const INTRUSION: [&str; 8] = ["socket", "connect", "dup2", "dup2", "execve", "open", "ptrace", "kill"];

fn rounds(thread: i64, names: &[&str], count: usize, start_ns: i64) -> Vec<Call> {
    (0..count * names.len())
        .map(|place| Call {
            name: names[place % names.len()].to_owned(),
            thread: Some(thread),
            time_ns: start_ns + place as i64 * 1_000_000,
        })
        .collect()
}

fn profile() -> Arc<Profile> {
    Arc::new(trained(&["stide:n=6", "bosc:w=6"], &segments(1, "a", &rounds(1, &ROUND, 5000, 0), 1000)))
}

fn alarms_of(segments: &[Segment]) -> Vec<Alarm> {
    let mut scorer = Scorer::new(profile(), 1, ScoringOptions::default()).unwrap();
    let mut alarms: Vec<Alarm> = Vec::new();
    for segment in segments {
        let scores = scorer.score_segment(segment);
        for alarm in scorer.alarms(segment, &scores) {
            alarms.retain(|known| known.id != alarm.id);
            alarms.push(alarm);
        }
    }
    alarms
}

/// 1200 normal calls, an intrusion by another thread from call 600 on, normal calls again.
fn attacked() -> Vec<Call> {
    let mut calls = rounds(1, &ROUND, 100, 0);
    calls.extend(rounds(2, &INTRUSION, 40, 600_000_000));
    calls.extend(rounds(1, &ROUND, 100, 1_000_000_000));
    calls
}

#[test]
fn an_intrusion_is_one_alarm_that_begins_where_it_began_however_the_stream_is_cut() {
    for size in [7, 100, 256, 5000] {
        let alarms = alarms_of(&segments(2, "0123456789ab", &attacked(), size));
        assert_eq!(alarms.len(), 1, "segments of {size}");
        let alarm = &alarms[0];
        let begin = alarm.first.0.start.offset + u64::from(alarm.first.1);
        assert!((600 - 256..=605).contains(&begin), "segments of {size}: begins at {begin}");
        assert!(alarm.start_ns <= 605_000_000 && alarm.end_ns >= 900_000_000);
        assert!(alarm.frames >= 2 && alarm.score >= alarm.threshold);
        let message = &alarm.message;
        assert!(message.starts_with("worker-1 webshop (0123456789ab): shop made a "), "{message}");
        assert!(message.contains("never seen in 30,000 calls of training"), "{message}");
    }
}

#[test]
fn the_first_reason_is_the_sequence_with_which_the_burst_began() {
    let mut attacked = segment(2, "a", 0, &attacked());
    attacked.details.push(Detail { call: 604, arguments: "exe=/bin/sh ".to_owned() });
    let mut scorer = Scorer::new(profile(), 1, ScoringOptions::default()).unwrap();
    let scores = scorer.score_segment(&attacked);
    let alarm = &scorer.alarms(&attacked, &scores)[0];
    let frame = scores[0].frames.iter().find(|frame| frame.first_call == alarm.first.1).unwrap();
    let Reason::UnseenSequence { calls, ends_at, thread, process, distance, .. } = &frame.reasons[0] else {
        panic!("{:?}", frame.reasons);
    };
    assert_eq!(calls, &["socket", "connect", "dup2", "dup2", "execve", "open"]);
    assert_eq!((*ends_at, *thread, process.as_deref(), *distance), (605, Some(2), Some("shop"), 6));
    let execve = frame.reasons.iter().find_map(|reason| match reason {
        Reason::RareCall { name, trained, arguments, .. } if name == "execve" => {
            Some((*trained, arguments.clone()))
        }
        _ => None,
    });
    assert!(
        execve
            .is_none_or(|(trained, arguments)| trained == 0 && arguments.as_deref() == Some("exe=/bin/sh "))
    );
    assert!(frame.reasons.iter().any(|reason| matches!(reason, Reason::RareCall { trained: 0, .. })));
    assert!(frame.reasons.len() <= 5);
}

#[test]
fn without_the_named_calls_the_alarm_is_gone() {
    let calls: Vec<Call> =
        attacked().into_iter().filter(|call| ROUND.contains(&call.name.as_str())).collect();
    assert_eq!(alarms_of(&segments(2, "a", &calls, 300)), []);
}

#[test]
fn intrusions_far_apart_in_time_are_two_alarms() {
    let mut calls = attacked();
    calls.extend(
        attacked().into_iter().map(|call| Call { time_ns: call.time_ns + 3_600_000_000_000, ..call }),
    );
    let alarms = alarms_of(&segments(2, "a", &calls, 300));
    assert_eq!(alarms.len(), 2);
    assert!(alarms[0].end_ns < alarms[1].start_ns);
}

#[test]
fn one_new_turn_of_the_program_is_no_alarm() {
    let mut calls = rounds(1, &ROUND, 100, 0);
    calls[300].name = "fsync".to_owned();
    assert_eq!(alarms_of(&segments(2, "a", &calls, 300)), []);
}

#[test]
fn a_container_cannot_write_to_the_terminal_through_a_message() {
    let mut attacked = segment(2, "a\u{1b}]0;x\u{7}", 0, &attacked());
    attacked.container.name = Some("shop\u{1b}[2J\n\u{202e}".to_owned());
    for thread in &mut attacked.calls.threads {
        thread.process_name = Some("sh\r\n\u{9b}31m".to_owned());
    }
    for kind in &mut attacked.calls.kinds {
        kind.name.push('\u{8}');
    }
    let alarms = alarms_of(&[attacked]);
    assert!(!alarms.is_empty());
    for alarm in alarms {
        assert!(!alarm.message.chars().any(|c| c.is_control() || c == '\u{202e}'), "{:?}", alarm.message);
    }
}
