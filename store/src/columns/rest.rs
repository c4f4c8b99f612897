//! The second blob: what only whole segments need. Numbers, latencies, results, arguments, flags and what is kept for people.
//!
//! ```text
//! number       the first (varint), then differences to the number before as magnitudes
//! latency      unit (byte), values in it as magnitudes, calls of one kind side by side
//! result       zigzag varints, calls of one kind side by side
//! argc         varints, likewise
//! args_length  varints, likewise
//! flags        bytes, likewise
//! unfinished and details, one section (postcard)
//! ```

use rastro_model::{Calls, Detail, Unfinished};

use super::{
    DecodeError, magnitudes, order, section, units, varint,
    varint::{Reader, unzigzag, zigzag},
};

/// Sizes of the parts of an encoded segment, for the figures that are reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestSizes {
    /// Event numbers, bytes.
    pub numbers: usize,
    /// Latencies, bytes.
    pub latencies: usize,
    /// Results, bytes.
    pub results: usize,
    /// Numbers of arguments, bytes.
    pub argument_counts: usize,
    /// Lengths of arguments, bytes.
    pub argument_lengths: usize,
    /// Flags, bytes.
    pub flags: usize,
    /// Unfinished calls and arguments kept, bytes.
    pub details: usize,
}

/// Longest text of unfinished calls and details that is read back, bytes.
const MAX_DETAILS: usize = 1 << 26;

/// Appends the columns.
pub(super) fn write(
    out: &mut Vec<u8>,
    calls: &Calls,
    unfinished: &[Unfinished],
    details: &[Detail],
) -> Option<RestSizes> {
    let mut sizes = RestSizes::default();
    let mut mark = out.len();
    let mut measure = |out: &Vec<u8>| {
        let length = out.len() - mark;
        mark = out.len();
        length
    };
    let first = calls.number.first().copied().unwrap_or(0);
    varint::write(out, first);
    let mut before = first;
    let differences = calls.number.iter().skip(1).map(|&number| {
        let difference = number.wrapping_sub(before);
        before = number;
        zigzag(difference as i64)
    });
    magnitudes::write(out, differences);
    sizes.numbers = measure(out);

    let call_at = calls_by_kind(calls);
    let by_kind = call_at.iter().map(|&call| call as usize);
    let unit = units::write(out, calls.latency_ns.iter().copied());
    magnitudes::write(out, by_kind.clone().map(|call| calls.latency_ns[call] / unit));
    sizes.latencies = measure(out);

    write_varints(out, by_kind.clone().map(|call| zigzag(calls.result[call])));
    sizes.results = measure(out);
    write_varints(out, by_kind.clone().map(|call| u64::from(calls.argc[call])));
    sizes.argument_counts = measure(out);
    write_varints(out, by_kind.clone().map(|call| u64::from(calls.args_length[call])));
    sizes.argument_lengths = measure(out);
    section::write(out, &by_kind.map(|call| calls.flags[call]).collect::<Vec<_>>());
    sizes.flags = measure(out);

    section::write(out, &postcard::to_stdvec(&(unfinished, details)).ok()?);
    sizes.details = measure(out);
    Some(sizes)
}

/// Fills the columns of `calls`, whose kinds are known; returns unfinished calls and details.
pub(super) fn read(
    reader: &mut Reader<'_>,
    calls: &mut Calls,
) -> Result<(Vec<Unfinished>, Vec<Detail>), DecodeError> {
    let count = calls.len();
    let mut number = reader.varint()?;
    calls.number = Vec::with_capacity(count);
    if count > 0 {
        calls.number.push(number);
    }
    magnitudes::read(reader, count.saturating_sub(1), |value| {
        number = number.wrapping_add(unzigzag(value) as u64);
        calls.number.push(number);
    })?;

    let call_at = calls_by_kind(calls);
    let mut next = call_at.iter();
    calls.latency_ns = vec![0; count];
    let unit = units::read(reader)?;
    magnitudes::read(reader, count, |value| {
        if let Some(&call) = next.next() {
            calls.latency_ns[call as usize] = value.wrapping_mul(unit);
        }
    })?;

    calls.result = vec![0; count];
    read_varints(reader, &call_at, |call, value| {
        calls.result[call] = unzigzag(value);
        Ok(())
    })?;
    calls.argc = vec![0; count];
    read_varints(reader, &call_at, |call, value| {
        calls.argc[call] = value.try_into().map_err(|_| DecodeError::Number)?;
        Ok(())
    })?;
    calls.args_length = vec![0; count];
    read_varints(reader, &call_at, |call, value| {
        calls.args_length[call] = value.try_into().map_err(|_| DecodeError::Number)?;
        Ok(())
    })?;
    let flags = section::read(reader, count)?;
    calls.flags = vec![0; count];
    for (&call, flags) in call_at.iter().zip(flags) {
        calls.flags[call as usize] = flags;
    }

    let bytes = section::read_up_to(reader, MAX_DETAILS)?;
    postcard::from_bytes(&bytes).map_err(|error| DecodeError::Details(error.to_string()))
}

/// The calls in the order of their kinds, those of one kind in their own order.
fn calls_by_kind(calls: &Calls) -> Vec<u32> {
    let mut next = order::starts(calls.kind.iter().map(|&kind| usize::from(kind)), calls.kinds.len());
    let mut call_at = vec![0; calls.len()];
    for (call, &kind) in calls.kind.iter().enumerate() {
        let place = &mut next[usize::from(kind)];
        call_at[*place as usize] = call as u32;
        *place += 1;
    }
    call_at
}

fn write_varints(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = u64>) {
    let mut bytes = Vec::with_capacity(values.len() * 2);
    for value in values {
        varint::write(&mut bytes, value);
    }
    section::write(out, &bytes);
}

fn read_varints(
    reader: &mut Reader<'_>,
    call_at: &[u32],
    mut take: impl FnMut(usize, u64) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let bytes = section::read_up_to(reader, call_at.len() * 10)?;
    let mut reader = Reader::new(&bytes);
    for &call in call_at {
        take(call as usize, reader.varint()?)?;
    }
    reader.finish()
}
