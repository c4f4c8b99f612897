//! Creating, appending, rotating, truncating, deleting, one case each.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
    time::Duration,
};

use rastro_model::GapReason;

use crate::rig::{Rig, append, lines};

#[tokio::test]
async fn lines_of_files_old_and_new_arrive_in_order() {
    let mut rig = Rig::new();
    let (old, new) = (rig.log("old.log"), rig.log("new.log"));
    append(&old, lines(0..1000));
    append(&rig.log("other.txt"), lines(0..10));
    let running = rig.start();
    running.wait("the old file", |status| status.totals.lines == 1000).await;
    append(&old, lines(1000..1001));
    append(&new, "");
    running.wait("the appended line", |status| status.totals.lines == 1001).await;
    append(&new, "a\r\n\0\n\n");
    append(&new, "partial");
    running.wait("the new file", |status| status.totals.lines == 1004).await;
    append(&new, " line\n");
    running.wait("the completed line", |status| status.totals.lines == 1005).await;
    let totals = running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&old), lines(0..1001));
    assert_eq!(rig.of(&new).bytes, b"a\r\n\0\n\npartial line\n");
    assert_eq!(totals.bytes, (rig.of(&old).bytes.len() + rig.of(&new).bytes.len()) as u64);
    assert_eq!(rig.received.len(), 2);
}

#[tokio::test]
async fn draining_ships_a_last_line_without_line_break_and_goes_on_following() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    append(&path, "#rastro {\"version\":1}\none\ntwo");
    append(&rig.log("empty.log"), "");
    append(&rig.log("header.log"), "#rastro {\"version\":1}\n");
    let config = rastro_shipper::ShipperConfig { flush_interval: Duration::from_hours(1), ..rig.config() };
    let running = rig.start_with(config);
    let totals = running.drain().await;
    assert_eq!((totals.lines, totals.bytes, totals.chunks), (2, 7, 1));
    assert!(running.handle.status().borrow().streams.values().all(|stream| stream.complete));
    append(&path, "three\n");
    assert_eq!(running.drain().await.lines, 3);
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), "one\ntwo\nthree\n");
    assert_eq!(rig.of(&path).header.as_deref(), Some(b"#rastro {\"version\":1}\n".as_slice()));
    assert_eq!(rig.received.len(), 1, "a header alone is no chunk");
}

#[tokio::test]
async fn a_renamed_file_is_read_to_its_end_before_its_successor() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    append(&path, lines(0..10));
    let running = rig.start();
    running.wait("the first lines", |status| status.totals.lines == 10).await;
    let mut writer = File::options().append(true).open(&path).unwrap();
    fs::rename(&path, rig.log("a.log.1")).unwrap();
    // The writer has not noticed; its last line has no end.
    writer.write_all(lines(10..20).as_bytes()).unwrap();
    append(&path, "");
    writer.write_all(b"line 20 of this log").unwrap();
    drop(writer);
    append(&path, lines(21..30));
    running.wait("both files", |status| status.totals.lines == 30).await;
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..30));
    assert_eq!(rig.of(&path).end.generation, 1);
    assert!(rig.of(&path).gaps.is_empty());
}

#[tokio::test]
async fn a_rotation_that_happened_while_the_shipper_was_away_is_caught_up() {
    for names in [["a.log.3", "a.log.2", "a.log.1"], ["a.log.1", "a.log.2", "a.log.3"]] {
        let mut rig = Rig::new();
        let path = rig.log("a.log");
        append(&path, lines(0..10));
        let running = rig.start();
        running.wait("the first lines", |status| status.totals.lines == 10).await;
        running.stop().await;
        append(&path, lines(10..20));
        for (round, name) in names.into_iter().enumerate() {
            let from = 20 + round as u32 * 10;
            fs::rename(&path, rig.log(name)).unwrap();
            // Times of change are as fine as the kernel's tick.
            tokio::time::sleep(Duration::from_millis(20)).await;
            append(&path, lines(from..from + 10));
        }
        append(&rig.log("a.log.9.gz"), "compressed\n");
        let running = rig.start();
        assert_eq!(running.drain().await.lines, 40);
        running.stop().await;
        rig.collect().await;
        assert_eq!(rig.text(&path), lines(0..50));
    }
}

#[tokio::test]
async fn a_copied_and_truncated_file_loses_nothing_that_the_copy_holds() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    append(&path, lines(0..100));
    // Chunks wait long: much is unread when the truncation comes.
    let config =
        || rastro_shipper::ShipperConfig { flush_interval: Duration::from_millis(300), ..rig.config() };
    let running = rig.start_with(config());
    running.wait("the first lines", |status| status.totals.lines == 100).await;
    append(&path, lines(100..200));
    tokio::time::sleep(Duration::from_millis(20)).await;
    fs::copy(&path, rig.log("a.log.1")).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    append(&path, lines(200..210));
    running.wait("the lines after it", |status| status.totals.lines == 210).await;
    // And again, with all of it read, and with nothing seen of the truncation but its result.
    fs::rename(rig.log("a.log.1"), rig.log("a.log.2")).unwrap();
    fs::copy(&path, rig.log("a.log.1")).unwrap();
    fs::write(&path, lines(210..400)).unwrap();
    running.wait("the lines after the second", |status| status.totals.lines == 400).await;
    running.stop().await;
    append(&path, lines(400..401));
    let running = rig.start_with(config());
    assert_eq!(running.drain().await.lines, 1);
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..401));
    assert!(rig.of(&path).gaps.is_empty(), "{:?}", rig.of(&path).gaps);
}

#[tokio::test]
async fn a_truncated_file_begins_anew_and_what_was_unread_is_a_counted_gap() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    append(&path, lines(0..10));
    let config = rastro_shipper::ShipperConfig { flush_interval: Duration::from_hours(1), ..rig.config() };
    let running = rig.start_with(config);
    running.drain().await;
    let unread = lines(10..20);
    append(&path, &unread);
    running
        .wait("the unread lines", |status| status.streams.values().any(|stream| stream.lag_bytes > 0))
        .await;
    fs::write(&path, "new\n").unwrap();
    running.wait("the gap", |status| status.totals.gaps == 1).await;
    let totals = running.drain().await;
    assert_eq!((totals.lines, totals.lost_bytes), (11, unread.len() as u64));
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..10) + "new\n");
    let gaps = &rig.of(&path).gaps;
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (gaps[0].bytes, gaps[0].lines, gaps[0].reason),
        (unread.len() as u64, None, GapReason::Truncated)
    );
}

#[tokio::test]
async fn a_deleted_file_is_read_to_its_end_and_a_new_one_of_the_same_inode_is_another() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    for round in 0..20 {
        let running = rig.start();
        let from = round * 20;
        append(&path, lines(from..from + 10));
        running.wait("the file", |status| status.totals.lines == 10).await;
        let mut writer = File::options().append(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        writer.write_all(lines(from + 10..from + 19).as_bytes()).unwrap();
        writer.write_all(lines(from + 19..from + 20).trim_end().as_bytes()).unwrap();
        drop(writer);
        running.wait("the rest", |status| status.totals.lines == 20).await;
        if round % 2 == 0 {
            running.kill().await;
        } else {
            running.stop().await;
        }
    }
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..400));
    assert!(rig.of(&path).gaps.is_empty());
}

#[tokio::test]
async fn links_and_names_that_are_not_utf8_are_followed() {
    let mut rig = Rig::new();
    let not_utf8 = rig.root().join("logs").join(OsStr::from_bytes(b"\xff\xfe.log"));
    let link = rig.log("link.log");
    let real = rig.root().join("elsewhere");
    append(&real, lines(0..5));
    symlink(&real, &link).unwrap();
    append(&not_utf8, lines(0..3));
    let config = rastro_shipper::ShipperConfig { poll_interval: Duration::from_hours(1), ..rig.config() };
    let running = rig.start_with(config);
    running.wait("both", |status| status.totals.lines == 8).await;
    append(&real, lines(5..6));
    append(&not_utf8, lines(3..4));
    running.wait("what was appended", |status| status.totals.lines == 10).await;
    // The link gets another file.
    let other = rig.root().join("other");
    append(&other, lines(6..8));
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    running.wait("the other file", |status| status.totals.lines == 12).await;
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&link), lines(0..8));
    assert_eq!(rig.text(&not_utf8), lines(0..4));
}

#[tokio::test]
async fn a_rotated_file_whose_new_name_matches_too_is_not_shipped_twice() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    append(&path, lines(0..10));
    let running = rig.start();
    running.wait("the file", |status| status.totals.lines == 10).await;
    fs::rename(&path, rig.log("a-1.log")).unwrap();
    append(&path, lines(10..20));
    running.wait("its successor", |status| status.totals.lines == 20).await;
    let scans = running.handle.status().borrow().scans;
    running.wait("two more scans", |status| status.scans > scans + 2).await;
    running.stop().await;
    let running = rig.start();
    assert_eq!(running.drain().await.lines, 0);
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..20));
    assert_eq!(rig.received.len(), 1);
}

#[tokio::test]
async fn lines_above_the_limit_are_cut_and_counted() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    append(&path, format!("short\n{}\nend\n", "x".repeat(3_000_000)));
    let running = rig.start();
    let totals = running.drain().await;
    assert_eq!((totals.lines, totals.cut_lines), (3, 1));
    assert_eq!(totals.bytes, 3_000_011);
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.of(&path).bytes.len(), 6 + (1 << 20) + 1 + 4);
    assert_eq!(rig.of(&path).cut_lines, 1);
}

#[tokio::test]
async fn thousands_of_files_are_followed_with_few_open() {
    let mut rig = Rig::new();
    for number in 0..1000 {
        append(&rig.log(&format!("{number}.log")), lines(0..3));
    }
    let config = rastro_shipper::ShipperConfig { max_open_files: 64, ..rig.config() };
    let running = rig.start_with(config);
    running.wait("all files", |status| status.totals.lines == 3000).await;
    let open =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let open = open.filter(|path| path.starts_with(rig.root().join("logs"))).count();
    assert!(open <= 64, "{open} files are open");
    for number in 0..1000 {
        append(&rig.log(&format!("{number}.log")), lines(3..4));
    }
    running.wait("what was appended", |status| status.totals.lines == 4000).await;
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.received.len(), 1000);
    for number in 0..1000 {
        assert_eq!(rig.text(&rig.log(&format!("{number}.log"))), lines(0..4));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_rotated_every_few_milliseconds_loses_nothing() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    let running = rig.start();
    let (writing_path, directory) = (path.clone(), rig.root().join("logs"));
    let writing = tokio::task::spawn_blocking(move || {
        for generation in 0..80_u32 {
            for part in 0..5 {
                let from = generation * 50 + part * 10;
                append(&writing_path, lines(from..from + 10));
                std::thread::sleep(Duration::from_micros(500));
            }
            for number in (1..=generation).rev() {
                let name = |number| directory.join(format!("a.log.{number}"));
                fs::rename(name(number), name(number + 1)).unwrap();
            }
            fs::rename(&writing_path, directory.join("a.log.1")).unwrap();
        }
    });
    writing.await.unwrap();
    running.drain().await;
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..4000));
    assert_eq!(rig.of(&path).gaps, []);
}
