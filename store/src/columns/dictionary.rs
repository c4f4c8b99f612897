//! The two dictionaries of a segment: kinds of calls, and threads.
//!
//! ```text
//! kind   := name , category (byte)
//! name   := varint 0 , text                     a name of the source's own (`<unknown>`, `#42`, `accept`)
//!         | varint n + 1                        the name that the x86_64 kernel gives to its call number n
//! thread := varint flags | has id | has process | has name , id (zigzag) , process (zigzag, minus id) , name (text)
//! ```
//!
//! The kernel's numbers are a part of its interface and never change, so they are a dictionary that every file may lean on; a
//! segment of a few dozen calls would otherwise consist of names for the most part.

use rastro_model::{
    CallKind, Category, Thread,
    syscall::{self, Architecture},
};

use super::{
    DecodeError, MAX_CALLS, section, varint,
    varint::{Reader, unzigzag, zigzag},
};

/// Longest name of a call or process that is read back; the transformer cuts lines far below it.
const MAX_TEXT: usize = 1 << 24;

/// Largest dictionary, bytes before compression: one chunk's lines are at most 16 MiB.
const MAX_BYTES: usize = 1 << 26;

const HAS_ID: u8 = 1;
const HAS_PROCESS: u8 = 1 << 1;
const HAS_NAME: u8 = 1 << 2;

fn kernel_number(name: &str) -> Option<u32> {
    let number = syscall::number(Architecture::X86_64, name)?;
    // Other names lead to the same number (sysdig's own); only the kernel's comes back.
    (syscall::name(Architecture::X86_64, number) == Some(name)).then_some(number)
}

/// Appends the dictionary of kinds.
pub(super) fn write_kinds(out: &mut Vec<u8>, kinds: &[CallKind]) {
    let mut bytes = Vec::with_capacity(kinds.len() * 4);
    varint::write(&mut bytes, kinds.len() as u64);
    for kind in kinds {
        if let Some(number) = kernel_number(&kind.name) {
            varint::write(&mut bytes, u64::from(number) + 1);
        } else {
            varint::write(&mut bytes, 0);
            varint::write_text(&mut bytes, &kind.name);
        }
        bytes.push(kind.category.number());
    }
    section::write(out, &bytes);
}

/// Reads the dictionary of kinds.
pub(super) fn read_kinds(reader: &mut Reader<'_>) -> Result<Vec<CallKind>, DecodeError> {
    let bytes = section::read_up_to(reader, MAX_BYTES)?;
    let mut reader = Reader::new(&bytes);
    // A kind takes two bytes or more, so the bytes bound what is set aside here.
    let count = reader.length(bytes.len() / 2)?;
    let mut kinds = Vec::with_capacity(count);
    for _ in 0..count {
        let name = match reader.varint()? {
            0 => reader.text(MAX_TEXT)?,
            number => u32::try_from(number - 1)
                .ok()
                .and_then(|number| syscall::name(Architecture::X86_64, number))
                .ok_or(DecodeError::UnknownCall(number - 1))?
                .to_owned(),
        };
        let category = reader.take(1)?[0];
        let category = Category::from_number(category).ok_or(DecodeError::UnknownCategory(category))?;
        kinds.push(CallKind { name, category });
    }
    reader.finish()?;
    Ok(kinds)
}

/// Appends the dictionary of threads.
pub(super) fn write_threads(out: &mut Vec<u8>, threads: &[Thread]) {
    let mut bytes = Vec::with_capacity(threads.len() * 8);
    varint::write(&mut bytes, threads.len() as u64);
    for thread in threads {
        let flags = if thread.id.is_some() { HAS_ID } else { 0 }
            | if thread.process.is_some() { HAS_PROCESS } else { 0 }
            | if thread.process_name.is_some() { HAS_NAME } else { 0 };
        bytes.push(flags);
        if let Some(id) = thread.id {
            varint::write(&mut bytes, zigzag(id));
        }
        if let Some(process) = thread.process {
            // Most often the thread's own id or one near it.
            varint::write(&mut bytes, zigzag(process.wrapping_sub(thread.id.unwrap_or(0))));
        }
        if let Some(name) = &thread.process_name {
            varint::write_text(&mut bytes, name);
        }
    }
    section::write(out, &bytes);
}

/// Reads the dictionary of threads.
pub(super) fn read_threads(reader: &mut Reader<'_>) -> Result<Vec<Thread>, DecodeError> {
    let bytes = section::read_up_to(reader, MAX_BYTES)?;
    let mut reader = Reader::new(&bytes);
    let count = reader.length(bytes.len().min(MAX_CALLS))?;
    let mut threads = Vec::with_capacity(count);
    for _ in 0..count {
        let flags = reader.take(1)?[0];
        let has = |flag: u8| flags & flag != 0;
        let id = has(HAS_ID).then(|| reader.varint().map(unzigzag)).transpose()?;
        let process = has(HAS_PROCESS).then(|| reader.varint().map(unzigzag)).transpose()?;
        let process_name = has(HAS_NAME).then(|| reader.text(MAX_TEXT)).transpose()?;
        threads.push(Thread {
            id,
            process: process.map(|process| process.wrapping_add(id.unwrap_or(0))),
            process_name,
        });
    }
    reader.finish()?;
    Ok(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_takes_three_bytes_at_most_and_an_unknown_one_comes_back_as_it_was() {
        let kind = |name: &str, category| CallKind { name: name.into(), category };
        let known = [kind("futex", Category::Ipc), kind("read", Category::File)];
        let mut out = Vec::new();
        write_kinds(&mut out, &known);
        assert!(out.len() <= 2 + 3 * known.len(), "{out:?}");
        assert_eq!(read_kinds(&mut Reader::new(&out)).as_deref(), Ok(known.as_slice()));

        let own = ["<unknown>", "#42", "", "accept", "sigreturn", "pread", "stat64", "é"];
        let own = own.map(|name| kind(name, Category::Unknown));
        let mut out = Vec::new();
        write_kinds(&mut out, &own);
        assert_eq!(read_kinds(&mut Reader::new(&out)).as_deref(), Ok(own.as_slice()));
    }
}
