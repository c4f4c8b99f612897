//! The first blob: what sequence detectors read. Dictionaries, kinds, threads and times.
//!
//! ```text
//! thread of every call   sections: low bytes, then (if there are more threads than 256, 65,536, …) the next bytes
//! kind of every call     the same, calls of one thread side by side
//! time of every call     first time (zigzag varint), unit (byte), differences in it as magnitudes
//! ```

use rastro_model::Calls;

use super::{
    DecodeError, dictionary, magnitudes, order, section, units, varint,
    varint::{Reader, unzigzag, zigzag},
};

/// Sizes of the parts of an encoded segment, for the figures that are reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SequenceSizes {
    /// Dictionaries of kinds and threads, bytes.
    pub dictionaries: usize,
    /// Kinds of the calls, bytes.
    pub kinds: usize,
    /// Threads of the calls, bytes.
    pub threads: usize,
    /// Times of the calls, bytes.
    pub times: usize,
}

/// Appends the sequence columns.
pub(super) fn write(out: &mut Vec<u8>, calls: &Calls) -> SequenceSizes {
    let mut sizes = SequenceSizes::default();
    let mut mark = out.len();
    let mut measure = |out: &Vec<u8>| {
        let length = out.len() - mark;
        mark = out.len();
        length
    };
    dictionary::write_kinds(out, &calls.kinds);
    dictionary::write_threads(out, &calls.threads);
    sizes.dictionaries = measure(out);

    write_indices(out, calls.len(), calls.threads.len(), |plane| {
        calls.thread.iter().map(|&thread| (thread >> (8 * plane)) as u8).collect()
    });
    sizes.threads = measure(out);

    let places = by_thread(calls);
    write_indices(out, calls.len(), calls.kinds.len(), |plane| {
        let mut bytes = vec![0; calls.len()];
        for (&kind, place) in calls.kind.iter().zip(&places) {
            bytes[*place as usize] = (kind >> (8 * plane)) as u8;
        }
        bytes
    });
    sizes.kinds = measure(out);

    write_times(out, &calls.time_ns);
    sizes.times = measure(out);
    sizes
}

/// Reads `count` calls; all other columns stay empty.
pub(super) fn read(reader: &mut Reader<'_>, count: usize) -> Result<Calls, DecodeError> {
    let kinds = dictionary::read_kinds(reader)?;
    let threads = dictionary::read_threads(reader)?;

    let mut thread = vec![0_u32; count];
    read_indices(reader, count, threads.len(), |plane, bytes| {
        for (thread, byte) in thread.iter_mut().zip(bytes) {
            *thread |= u32::from(byte) << (8 * plane);
        }
    })?;
    if thread.iter().any(|&thread| thread as usize >= threads.len()) {
        return Err(DecodeError::Dictionary);
    }

    let mut calls = Calls { kinds, threads, kind: vec![0; count], thread, ..Calls::default() };
    let kind_count = calls.kinds.len();
    if calls.threads.len() <= 1 {
        read_indices(reader, count, kind_count, |plane, bytes| {
            for (kind, byte) in calls.kind.iter_mut().zip(bytes) {
                *kind |= u16::from(byte) << (8 * plane);
            }
        })?;
    } else {
        let starts = order::starts(calls.thread.iter().map(|&thread| thread as usize), calls.threads.len());
        read_indices(reader, count, kind_count, |plane, bytes| {
            let mut next = starts.clone();
            for (kind, &thread) in calls.kind.iter_mut().zip(&calls.thread) {
                let place = &mut next[thread as usize];
                *kind |= u16::from(bytes[*place as usize]) << (8 * plane);
                *place += 1;
            }
        })?;
    }
    if calls.kind.iter().any(|&kind| usize::from(kind) >= kind_count) {
        return Err(DecodeError::Dictionary);
    }

    calls.time_ns = read_times(reader, count)?;
    Ok(calls)
}

fn by_thread(calls: &Calls) -> Vec<u32> {
    order::places(calls.thread.iter().map(|&thread| thread as usize), calls.threads.len())
}

/// Bytes that an index into a dictionary of `entries` takes.
const fn planes(entries: usize) -> usize {
    match entries {
        0..=1 => 0,
        2..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        0x1_0001..=0x100_0000 => 3,
        _ => 4,
    }
}

fn write_indices(out: &mut Vec<u8>, count: usize, entries: usize, plane: impl Fn(usize) -> Vec<u8>) {
    if count > 0 {
        for number in 0..planes(entries) {
            section::write(out, &plane(number));
        }
    }
}

fn read_indices(
    reader: &mut Reader<'_>,
    count: usize,
    entries: usize,
    mut take: impl FnMut(usize, Vec<u8>),
) -> Result<(), DecodeError> {
    if count > 0 {
        for number in 0..planes(entries) {
            take(number, section::read(reader, count)?);
        }
    }
    Ok(())
}

fn differences(times: &[i64]) -> impl ExactSizeIterator<Item = i64> + Clone {
    times.iter().skip(1).zip(times).map(|(time, before)| time.wrapping_sub(*before))
}

fn write_times(out: &mut Vec<u8>, times: &[i64]) {
    let Some(first) = times.first() else { return };
    varint::write(out, zigzag(*first));
    let unit = units::write(out, differences(times).map(i64::unsigned_abs)) as i64;
    magnitudes::write(out, differences(times).map(|difference| zigzag(difference / unit)));
}

fn read_times(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, DecodeError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut time = unzigzag(reader.varint()?);
    let unit = units::read(reader)? as i64;
    let mut times = Vec::with_capacity(count);
    times.push(time);
    magnitudes::read(reader, count - 1, |value| {
        time = time.wrapping_add(unzigzag(value).wrapping_mul(unit));
        times.push(time);
    })?;
    Ok(times)
}
