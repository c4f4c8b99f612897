//! What is read of a file that grows, ends or is written anew.

use std::{fs, io::Write};

use rastro_model::log_header;

use super::*;
use crate::ShipperConfig;

fn config(chunk_bytes: usize, max_line_bytes: usize) -> ShipperConfig {
    ShipperConfig { max_line_bytes, chunk_bytes, ..ShipperConfig::default() }
}

fn tail(path: &Path) -> Tail {
    let (file, _) = open_regular(path).unwrap().unwrap();
    Tail::new(path.to_owned(), file, 0).unwrap()
}

/// Everything that can be read: payloads, with the numbers of lines and of cut lines.
fn read_all(tail: &mut Tail, config: &ShipperConfig, is_last: bool) -> Vec<(Vec<u8>, u32, u32)> {
    let mut pieces = Vec::new();
    loop {
        let before = tail.offset;
        match tail.read(config, Vec::new(), is_last).unwrap() {
            Read::Piece(piece) => {
                assert!(piece.start >= before && piece.end == tail.offset);
                assert_eq!(tail.anchor, Anchor::read(tail.file.as_ref().unwrap(), tail.offset).unwrap());
                pieces.push((piece.buffer[piece.range].to_vec(), piece.lines, piece.cut_lines));
            }
            Read::Again => {}
            Read::Nothing => return pieces,
            Read::Replaced => panic!("the file was not replaced"),
        }
    }
}

fn file_with(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    fs::write(&path, content).unwrap();
    (directory, path)
}

#[test]
fn a_partial_last_line_is_held_back_until_it_ends_or_the_file_does() {
    let (_directory, path) = file_with(b"one\ntwo\nthr");
    let config = config(100, 100);
    let mut tail = tail(&path);
    assert_eq!(read_all(&mut tail, &config, false), [(b"one\ntwo\n".to_vec(), 2, 0)]);
    let mut writer = File::options().append(true).open(&path).unwrap();
    writer.write_all(b"ee\r\nfour").unwrap();
    assert_eq!(read_all(&mut tail, &config, false), [(b"three\r\n".to_vec(), 1, 0)]);
    assert_eq!(read_all(&mut tail, &config, true), [(b"four\n".to_vec(), 1, 0)]);
    assert_eq!(tail.offset, 19);
}

#[test]
fn chunks_hold_whole_lines_and_a_longer_line_is_its_own() {
    let (_directory, path) = file_with(b"aa\nbb\n0123456789\nc\n");
    let pieces = read_all(&mut tail(&path), &config(8, 100), false);
    assert_eq!(
        pieces,
        [(b"aa\nbb\n".to_vec(), 2, 0), (b"0123456789\n".to_vec(), 1, 0), (b"c\n".to_vec(), 1, 0)]
    );
}

#[test]
fn lines_above_the_limit_are_cut_and_counted() {
    let long = "x".repeat(70_000);
    let content = format!("a\n{long}\nb\nyyyyyyyyyyyyyyyyyyyy\nc");
    let (_directory, path) = file_with(content.as_bytes());
    for chunk_bytes in [8, 64, 1000, 200_000] {
        let pieces = read_all(&mut tail(&path), &config(chunk_bytes, 10), true);
        let joined: Vec<u8> = pieces.iter().flat_map(|(payload, ..)| payload.clone()).collect();
        assert_eq!(joined, b"a\nxxxxxxxxxx\nb\nyyyyyyyyyy\nc\n", "chunks of {chunk_bytes}");
        assert_eq!(pieces.iter().map(|(_, lines, _)| lines).sum::<u32>(), 5);
        assert_eq!(pieces.iter().map(|(.., cut)| cut).sum::<u32>(), 2);
    }
}

#[test]
fn a_line_that_grows_beyond_a_chunk_while_it_is_written_comes_whole() {
    let (_directory, path) = file_with(b"");
    let config = config(16, 1000);
    let mut tail = tail(&path);
    let mut writer = File::options().append(true).open(&path).unwrap();
    for _ in 0..30 {
        writer.write_all(b"0123456").unwrap();
        assert!(read_all(&mut tail, &config, false).is_empty());
    }
    writer.write_all(b"\nnext\n").unwrap();
    let pieces = read_all(&mut tail, &config, false);
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[0].0.len(), 211);
    assert_eq!(pieces[1].0, b"next\n");
}

#[test]
fn the_header_is_no_line() {
    let (_directory, path) = file_with(b"#ras");
    let config = config(100, 100);
    let mut tail = tail(&path);
    let mut writer = File::options().append(true).open(&path).unwrap();
    for more in ["tro ", "{}", "\n"] {
        assert!(read_all(&mut tail, &config, false).is_empty());
        writer.write_all(more.as_bytes()).unwrap();
    }
    assert!(read_all(&mut tail, &config, false).is_empty());
    assert_eq!((tail.offset, tail.header()), (11, Some(b"#rastro {}\n".as_slice())));
    writer.write_all(b"#rastro no header\n").unwrap();
    assert_eq!(read_all(&mut tail, &config, false), [(b"#rastro no header\n".to_vec(), 1, 0)]);
    // Resumed in its middle, the file still has its header.
    let (file, _) = open_regular(&path).unwrap().unwrap();
    let mut resumed = Tail::resumed(path.clone(), file, 0, 11).unwrap();
    assert_eq!(read_all(&mut resumed, &config, false).len(), 1);
    assert_eq!(resumed.header(), Some(b"#rastro {}\n".as_slice()));
}

#[test]
fn a_first_line_that_only_looks_like_a_header_is_a_line() {
    for content in ["#rastro", "#rastro without end", "#rastr\nx"] {
        let (_directory, path) = file_with(content.as_bytes());
        let mut tail = tail(&path);
        let pieces = read_all(&mut tail, &config(100, 100), true);
        let joined: Vec<u8> = pieces.into_iter().flat_map(|(payload, ..)| payload).collect();
        assert_eq!(joined, format!("{content}\n").as_bytes());
        assert_eq!(tail.header(), None);
    }
    let endless = format!("#rastro {}\nx\n", "y".repeat(log_header::MAX_LENGTH));
    let (_directory, path) = file_with(endless.as_bytes());
    let mut tail = tail(&path);
    assert_eq!(read_all(&mut tail, &config(100_000, 100_000), false)[0].1, 2);
    assert_eq!(tail.header(), None);
}

#[test]
fn a_file_that_was_written_anew_and_has_grown_beyond_the_place_is_noticed() {
    let (_directory, path) = file_with(b"one\ntwo\n");
    let mut tail = tail(&path);
    assert_eq!(read_all(&mut tail, &config(100, 100), false).len(), 1);
    fs::write(&path, b"other lines\nand more\n").unwrap();
    assert!(matches!(tail.read(&config(100, 100), Vec::new(), false).unwrap(), Read::Replaced));
}
