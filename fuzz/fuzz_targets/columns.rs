//! Any bytes as the columns of a segment, behind a checksum that is right: no panic, no unbounded memory, and what is read can be
//! written and read again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rastro_broker::{Chunk, Payload};
use rastro_format::Format;
use rastro_model::{Position, Segment, StreamId};
use rastro_store::columns::{self, Blobs, Envelope};
use rastro_transformer::{Transformer, TransformerConfig};
use xxhash_rust::xxh3::xxh3_64;

/// How long a blob's checksum is.
const CHECKSUM: usize = 4;

/// A sound segment with its blobs, to be damaged.
static SOUND: LazyLock<(Segment, Blobs)> = LazyLock::new(|| {
    let text = "\
        1000 1000 server 7 2022-03-31T18:13:16.977633722+0000 > file openat <NA> <NA>  \n\
        1000 1000 server 8 2022-03-31T18:13:16.977633822+0000 < file openat 100 3  fd=3(<f>/etc/passwd) name=/etc/passwd \n\
        1000 1000 server 9 2022-03-31T18:13:16.977634000+0000 < file read 250 -11  res=-11(EAGAIN) data= \n\
        1001 1000 server 11 2022-03-31T18:13:16.977635000+0000 < process execve 99 0  res=0 exe=/bin/sh args=-c.id. \n\
        1001 1000 sh 12 2022-03-31T18:13:16.977636000+0000 > net accept <NA> <NA>  \n";
    let chunk = Chunk {
        stream: StreamId(7),
        start: Position::START,
        end: Position::new(0, text.len() as u64),
        previous: Position::START,
        first_line: 0,
        lines: 5,
        cut_lines: 0,
        gap: None,
        node: "node".to_owned(),
        path: b"/var/log/rastro/host.log".to_vec(),
        header: None,
        read_ns: 1_648_750_396_977_633_722,
        payload: Payload::compress(text.as_bytes()).expect("the text is short"),
    };
    let format = Format::named("rastro").expect("a preset has its name");
    let output = Transformer::new(TransformerConfig::new(format, "fuzz")).transform(&chunk);
    let segment = output.segments.into_iter().next().expect("the lines are calls");
    let blobs = columns::encode(&segment).expect("the segment is consistent");
    (segment, blobs)
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let (segment, sound) = &*SOUND;
    let (sequence, others) = match choice % 4 {
        0 => (seal(rest), sound.rest.clone()),
        1 => (sound.sequence.clone(), seal(rest)),
        2 => (patched(&sound.sequence, rest), sound.rest.clone()),
        _ => (sound.sequence.clone(), patched(&sound.rest, rest)),
    };
    for rest in [None, Some(others.as_slice())] {
        let Ok(read) = columns::decode(Envelope::of(segment), &sequence, rest) else { continue };
        if rest.is_some() {
            assert!(read.calls.is_consistent());
            let again = columns::encode(&read).expect("a segment that was read can be written");
            let reread = columns::decode(Envelope::of(&read), &again.sequence, Some(&again.rest));
            assert_eq!(reread, Ok(read));
        }
    }
});

/// Overwrites bytes of a sound blob, each told by three bytes: where (two) and with what.
fn patched(blob: &[u8], patches: &[u8]) -> Vec<u8> {
    let mut body = blob[..blob.len() - CHECKSUM].to_vec();
    for patch in patches.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % body.len();
        body[place] = patch[2];
    }
    seal(&body)
}

/// The bytes with the checksum that they should have.
fn seal(body: &[u8]) -> Vec<u8> {
    let mut blob = body.to_vec();
    blob.extend_from_slice(&(xxh3_64(body) as u32).to_le_bytes());
    blob
}
