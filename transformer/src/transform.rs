//! The way of one chunk.

use memchr::memchr_iter;
use rastro_broker::Chunk;
use rastro_format::{DayBase, LineErrorKind};
use rastro_model::{Gap, GapReason, Tally};
use rastro_store::ChunkOutput;

use crate::{
    TransformerConfig, call_documents,
    day::Days,
    dead_letter::{DeadLetters, LinePlace},
    line::{Lines, Scratch},
    origin::{Origin, Origins},
    rollup::Rollups,
    window_documents,
};

/// Room for lines that is kept between chunks, bytes. Chunks of our own shipper are smaller.
const KEPT_TEXT: usize = 4 * 1024 * 1024;

/// Makes outputs of chunks. Only buffers and what was learned about headers live on from chunk to chunk; nothing of it shows
/// in an output.
#[derive(Debug)]
pub struct Transformer {
    config: TransformerConfig,
    origins: Origins,
    text: Vec<u8>,
    scratch: Scratch,
    rollups: Rollups,
}

/// An output with what the metrics want to know beside it.
#[derive(Debug)]
pub(crate) struct Transformed {
    pub(crate) output: ChunkOutput,
    /// Dead letters by the class of their reason.
    pub(crate) dead_letter_classes: Vec<(&'static str, u64)>,
    /// The payload could not be read: its lines are a gap.
    pub(crate) is_damaged: bool,
}

impl Transformer {
    /// A transformer with this configuration.
    pub fn new(config: TransformerConfig) -> Self {
        Self {
            rollups: Rollups::new(config.rollup_interval),
            config,
            origins: Origins::default(),
            text: Vec::new(),
            scratch: Scratch::new(),
        }
    }

    /// What becomes of a chunk. Never fails: lines that cannot be used are dead letters, and a payload that cannot be read is a
    /// gap of reason `queue` with the number of its lines.
    pub fn transform(&mut self, chunk: &Chunk) -> ChunkOutput {
        self.transform_counting(chunk).output
    }

    pub(crate) fn transform_counting(&mut self, chunk: &Chunk) -> Transformed {
        let origin = self.origins.of(chunk, &self.config);
        let mut text = std::mem::take(&mut self.text);
        let mut output = empty_output(chunk, &origin);
        let mut dead_letters = DeadLetters::new(
            chunk.stream,
            chunk.start,
            chunk.first_line,
            self.config.dead_letter_limit,
            self.config.dead_letters_per_chunk,
        );
        let damage = chunk.payload.decompress(&mut text).err();
        self.scratch.begin_chunk();
        if let Some(error) = &damage {
            tracing::error!(
                stream = %chunk.stream, start = %chunk.start, end = %chunk.end, lines = chunk.lines, %error,
                "a chunk cannot be read: its lines are lost and counted as a gap"
            );
            output.gap = Some(gap_of_damage(chunk));
        } else {
            let lines_read = self.read_lines(chunk, &origin, &text, &mut dead_letters);
            if lines_read != u64::from(chunk.lines) {
                tracing::warn!(
                    stream = %chunk.stream, start = %chunk.start, declared = chunk.lines, found = lines_read,
                    "a chunk holds another number of lines than it says"
                );
            }
            output.tally.lines_read = lines_read;
            output.tally.dead_letters = dead_letters.count();
            self.finish_segments(chunk, &origin, &text, &mut output);
        }
        let (kept, dead_letter_classes) = dead_letters.finish();
        output.dead_letters = kept;

        if text.capacity() > KEPT_TEXT {
            text = Vec::new();
        }
        self.text = text;
        Transformed { output, dead_letter_classes, is_damaged: damage.is_some() }
    }

    /// Reads every line; returns how many there are.
    fn read_lines(
        &mut self,
        chunk: &Chunk,
        origin: &Origin,
        text: &[u8],
        dead_letters: &mut DeadLetters,
    ) -> u64 {
        let format = match &origin.format {
            Ok(format) => format,
            Err(reason) => {
                return for_each_line(text, |place, line| {
                    dead_letters.push(place, line, "unusable_header", || reason.clone());
                });
            }
        };
        let (day, days) = if format.is_time_of_day {
            let (day, days) = Days::new(origin.day, chunk.read_ns);
            (day, Some(days))
        } else {
            (DayBase::default(), None)
        };
        let mut lines = Lines { config: &self.config, origin, format, text, read_ns: chunk.read_ns, days };
        let scratch = &mut self.scratch;
        for_each_line(text, |place, line| match format.format.parse_line(line, day) {
            Ok(event) => {
                if let Err(excess) = lines.take(&event, place, line.len(), scratch) {
                    dead_letters.push(place, line, "excess", || excess.to_string());
                }
            }
            Err(error) if error.kind() == LineErrorKind::Blank => {
                dead_letters.push(place, line, error.kind().name(), || "blank line".to_owned());
            }
            Err(error) => dead_letters.push(place, line, error.kind().name(), || error.reason(line)),
        })
    }

    fn finish_segments(&mut self, chunk: &Chunk, origin: &Origin, text: &[u8], output: &mut ChunkOutput) {
        let documents = &self.config.documents;
        self.scratch.close_pairing();
        let gap = chunk.gap.clone().or_else(|| {
            let dropped = self.scratch.source_dropped;
            dropped.then_some(Gap { bytes: 0, lines: None, reason: GapReason::Source })
        });
        for (number, part) in self.scratch.parts().iter_mut().enumerate() {
            part.tally.lines_read = part.tally.events_parsed;
            let parsed = Tally { lines_read: 0, ..part.tally };
            output.tally += parsed;
            if let Some(segment) =
                part.finish(number as u16, chunk, origin, gap.clone(), self.config.index_names)
            {
                if self.config.rollups {
                    self.rollups.append(&segment, part.calls(), &mut output.rollups);
                }
                if documents.calls {
                    let as_strings = documents.numbers_as_strings;
                    call_documents::render(&segment, part.sources(), text, as_strings, &mut output.rendered);
                }
                let windows =
                    documents.windows.iter().filter_map(|&size| window_documents::render(&segment, size));
                output.rendered.extend(windows);
                output.segments.push(segment);
            }
        }
    }
}

fn empty_output(chunk: &Chunk, origin: &Origin) -> ChunkOutput {
    ChunkOutput {
        stream: chunk.stream,
        path: String::from_utf8_lossy(&chunk.path).into_owned(),
        dataset: origin.dataset.clone(),
        start: chunk.start,
        end: chunk.end,
        previous: chunk.previous,
        first_line: chunk.first_line,
        lines: chunk.lines,
        gap: chunk.gap.clone(),
        tally: Tally::default(),
        segments: Vec::new(),
        rollups: Vec::new(),
        dead_letters: Vec::new(),
        rendered: Vec::new(),
    }
}

/// The chunk's own gap and all that the chunk held. Nobody can read it any more, here or elsewhere, so its lines were not read:
/// they are lost, and told.
fn gap_of_damage(chunk: &Chunk) -> Gap {
    let bytes = if chunk.start.generation == chunk.end.generation {
        chunk.end.offset.saturating_sub(chunk.start.offset)
    } else {
        chunk.payload.raw_length() as u64
    };
    let lines = u64::from(chunk.lines);
    let own = chunk.gap.as_ref();
    Gap {
        bytes: own.map_or(0, |gap| gap.bytes).saturating_add(bytes),
        lines: own.map_or(Some(0), |gap| gap.lines).map(|own_lines| own_lines.saturating_add(lines)),
        reason: GapReason::Queue,
    }
}

/// Calls `each` with every line (without its line break); returns how many there are. A last line without a break is one.
fn for_each_line(text: &[u8], mut each: impl FnMut(LinePlace, &[u8])) -> u64 {
    let mut index = 0;
    let mut offset = 0;
    for line_break in memchr_iter(b'\n', text) {
        each(LinePlace { index, offset }, &text[offset..line_break]);
        index += 1;
        offset = line_break + 1;
    }
    if offset < text.len() {
        each(LinePlace { index, offset }, &text[offset..]);
        index += 1;
    }
    index
}
