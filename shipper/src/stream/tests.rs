//! Turns of a stream whose file changes between the look and the reading.

use std::fs::{self, File};

use super::*;
use crate::{ShipperConfig, claims::Claims};

fn config() -> ShipperConfig {
    ShipperConfig { flush_interval: std::time::Duration::ZERO, ..ShipperConfig::default() }
}

fn stream_of(path: &Path) -> Stream {
    let mut stream = Stream::new(0, StreamId(1), path.to_owned(), Place::default());
    stream.look(&Claims::default()).unwrap();
    stream
}

fn turn(stream: &mut Stream, is_draining: bool) -> Turn {
    stream.turn(&config(), &Claims::default(), &mut Vec::new, is_draining, Instant::now()).unwrap()
}

#[test]
fn a_file_that_was_emptied_after_the_look_asks_for_another_look_and_not_for_another_turn() {
    // Longer than what a file is known by, so that one that is cut short is still the same.
    let beginning = "a line of some length\n".repeat(500);
    for (announced, is_draining) in [(false, false), (false, true), (true, false), (true, true)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        fs::write(&path, &beginning).unwrap();
        let mut stream = stream_of(&path);
        stream.tails[0].announced = announced;
        if announced {
            assert!(matches!(turn(&mut stream, false), Turn::Cut(_)));
            fs::write(&path, format!("{beginning}more\n")).unwrap();
            stream.look(&Claims::default()).unwrap();
        }
        assert_eq!(stream.wish(Instant::now(), is_draining, &config()), Wish::Now);
        let left = if announced { beginning.len() as u64 } else { 0 };
        File::options().write(true).open(&path).unwrap().set_len(left).unwrap();
        assert!(matches!(turn(&mut stream, is_draining), Turn::Stale), "{announced} {is_draining}");
        stream.look(&Claims::default()).unwrap();
        assert_eq!(stream.wish(Instant::now(), is_draining, &config()), Wish::Never);
    }
}
