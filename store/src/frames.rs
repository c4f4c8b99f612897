//! The scores of a segment as bytes.
//!
//! ```text
//! blob    := version (byte) , profile name and version , threshold (8 bytes) , columns , checksum (4 bytes)
//! columns := per frame: numbers as varints (one section), raw and score (8 bytes each, one section), reasons (one section)
//! ```
//!
//! Figures keep all their bits: a score read back is the score that was written. Reasons are JSON, since they are told apart by
//! a member.

use rastro_model::{FrameScore, ProfileRef, Reason, SegmentId, SegmentScores};

use crate::columns::{
    DecodeError, open, seal, section, varint,
    varint::{Reader, unzigzag, zigzag},
};

const ALARM: u64 = 1;
const LOSSY: u64 = 1 << 1;
const LEARNING: u64 = 1 << 2;
const HAS_REASONS: u64 = 1 << 3;

/// Most frames of a segment, and longest sections, that are read back.
const MAX_FRAMES: usize = 1 << 23;
const MAX_SECTION: usize = 1 << 28;

/// The bytes. Segment, detector and window are kept beside them.
pub(crate) fn encode(scores: &SegmentScores) -> Result<Vec<u8>, serde_json::Error> {
    let mut numbers = Vec::with_capacity(scores.frames.len() * 12);
    let mut figures = Vec::with_capacity(scores.frames.len() * 16);
    let mut reasons = Vec::new();
    let mut before = (0_u32, 0_i64);
    for frame in &scores.frames {
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        let flags = bit(frame.alarm, ALARM)
            | bit(frame.lossy, LOSSY)
            | bit(frame.learning, LEARNING)
            | bit(!frame.reasons.is_empty(), HAS_REASONS);
        for number in [
            flags,
            u64::from(frame.first_call.wrapping_sub(before.0)),
            u64::from(frame.calls),
            u64::from(frame.windows),
            u64::from(frame.unseen),
            zigzag(frame.start_ns.wrapping_sub(before.1)),
            zigzag(frame.end_ns.wrapping_sub(frame.start_ns)),
        ] {
            varint::write(&mut numbers, number);
        }
        before = (frame.first_call.wrapping_add(frame.calls), frame.end_ns);
        figures.extend_from_slice(&frame.raw.to_bits().to_le_bytes());
        figures.extend_from_slice(&frame.score.to_bits().to_le_bytes());
        if !frame.reasons.is_empty() {
            let json = serde_json::to_vec(&frame.reasons)?;
            varint::write(&mut reasons, json.len() as u64);
            reasons.extend_from_slice(&json);
        }
    }
    let mut blob = vec![VERSION];
    varint::write_text(&mut blob, &scores.profile.name);
    varint::write(&mut blob, u64::from(scores.profile.version));
    blob.extend_from_slice(&scores.threshold.to_bits().to_le_bytes());
    varint::write(&mut blob, scores.frames.len() as u64);
    section::write(&mut blob, &numbers);
    section::write(&mut blob, &figures);
    section::write(&mut blob, &reasons);
    seal(&mut blob);
    Ok(blob)
}

const VERSION: u8 = 1;

/// The scores again.
pub(crate) fn decode(
    blob: &[u8],
    segment: SegmentId,
    detector: String,
    window: u32,
) -> Result<SegmentScores, DecodeError> {
    let mut reader = Reader::new(open(blob)?);
    let name = reader.text(MAX_SECTION)?;
    let profile = ProfileRef { name, version: narrow(reader.varint()?)? };
    let threshold = figure(&mut reader)?;
    let count = reader.length(MAX_FRAMES)?;
    let numbers = section::read_up_to(&mut reader, MAX_SECTION)?;
    let figures = section::read_up_to(&mut reader, count * 16)?;
    let reasons = section::read_up_to(&mut reader, MAX_SECTION)?;
    reader.finish()?;

    let (mut numbers, mut figures, mut reasons) =
        (Reader::new(&numbers), Reader::new(&figures), Reader::new(&reasons));
    let mut frames = Vec::new();
    let mut before = (0_u32, 0_i64);
    for _ in 0..count {
        let flags = numbers.varint()?;
        let first_call = before.0.wrapping_add(narrow(numbers.varint()?)?);
        let calls = narrow(numbers.varint()?)?;
        let windows = narrow(numbers.varint()?)?;
        let unseen = narrow(numbers.varint()?)?;
        let start_ns = before.1.wrapping_add(unzigzag(numbers.varint()?));
        let end_ns = start_ns.wrapping_add(unzigzag(numbers.varint()?));
        before = (first_call.wrapping_add(calls), end_ns);
        frames.push(FrameScore {
            first_call,
            calls,
            windows,
            unseen,
            raw: figure(&mut figures)?,
            score: figure(&mut figures)?,
            alarm: flags & ALARM != 0,
            lossy: flags & LOSSY != 0,
            learning: flags & LEARNING != 0,
            start_ns,
            end_ns,
            reasons: if flags & HAS_REASONS == 0 { Vec::new() } else { read_reasons(&mut reasons)? },
        });
    }
    numbers.finish()?;
    figures.finish()?;
    reasons.finish()?;
    Ok(SegmentScores { segment, detector, window, profile, threshold, frames })
}

fn narrow(value: u64) -> Result<u32, DecodeError> {
    u32::try_from(value).map_err(|_| DecodeError::Number)
}

fn figure(reader: &mut Reader<'_>) -> Result<f64, DecodeError> {
    let bytes = reader.take(8)?;
    let bytes = bytes.first_chunk::<8>().ok_or(DecodeError::TooShort)?;
    Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
}

fn read_reasons(reader: &mut Reader<'_>) -> Result<Vec<Reason>, DecodeError> {
    let length = reader.length(MAX_SECTION)?;
    serde_json::from_slice(reader.take(length)?).map_err(|error| DecodeError::Details(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rastro_model::{Position, StreamId};

    use super::*;

    fn frame() -> impl Strategy<Value = FrameScore> {
        let reasons = prop::collection::vec(
            prop_oneof![
                ("\\PC{0,9}", any::<u32>(), any::<u64>(), prop::option::of("\\PC{0,9}")).prop_map(
                    |(name, call, trained, arguments)| Reason::RareCall {
                        name,
                        call,
                        times: call,
                        trained,
                        arguments
                    }
                ),
                (prop::collection::vec(("[a-z]{1,5}", any::<u32>()), 0..3), any::<Option<i64>>()).prop_map(
                    |(calls, thread)| Reason::UnseenBag {
                        nearest: Some(calls.clone()),
                        calls,
                        ends_at: 1,
                        times: 2,
                        thread,
                        process: None,
                        distance: 3,
                    }
                ),
            ],
            0..3,
        );
        (any::<[u32; 4]>(), any::<(f64, f64)>(), any::<[bool; 3]>(), any::<(i64, i64)>(), reasons).prop_map(
            |(
                [first_call, calls, windows, unseen],
                (raw, score),
                [alarm, lossy, learning],
                span,
                reasons,
            )| FrameScore {
                first_call,
                calls,
                windows,
                unseen,
                raw,
                score,
                alarm,
                lossy,
                learning,
                start_ns: span.0,
                end_ns: span.1,
                reasons,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn scores_come_back_bit_by_bit(
            frames in prop::collection::vec(frame(), 0..8),
            name in "\\PC{0,9}",
            threshold in any::<f64>(),
        ) {
            let scores = SegmentScores {
                segment: SegmentId { stream: StreamId(1), start: Position::START, part: 0 },
                detector: "stide".into(),
                window: 6,
                profile: ProfileRef { name, version: 3 },
                threshold,
                frames,
            };
            let blob = encode(&scores).unwrap();
            let decoded = decode(&blob, scores.segment, "stide".into(), 6).unwrap();
            let bits = |scores: &SegmentScores| {
                let figures = scores.frames.iter().flat_map(|frame| [frame.raw.to_bits(), frame.score.to_bits()]);
                (figures.collect::<Vec<_>>(), scores.threshold.to_bits())
            };
            prop_assert_eq!(bits(&decoded), bits(&scores));
            // NaN is not equal to itself; the bits above are compared for that reason.
            prop_assert_eq!(format!("{decoded:?}"), format!("{scores:?}"));
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let segment = SegmentId { stream: StreamId(1), start: Position::START, part: 0 };
            bytes.insert(0, VERSION);
            seal(&mut bytes);
            let _ = decode(&bytes, segment, String::new(), 1);
        }
    }
}
