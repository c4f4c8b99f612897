//! Coming back: after kill -9, with a damaged checkpoint, an older queue, a lost queue, a full queue, a file that may not be read.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rastro_broker::{Broker, EmbeddedBroker, EmbeddedConfig};
use rastro_model::GapReason;
use rastro_shipper::{Checkpoint, Shipper, ShipperConfig, stream_id};

use crate::rig::{Rig, append, lines};

const CHILD: &str = "RASTRO_TEST_SHIPPER_CHILD";

#[tokio::test]
async fn with_both_checkpoints_damaged_shipping_resumes_where_the_broker_stands() {
    let mut rig = Rig::new();
    let (path, shrunk) = (rig.log("a.log"), rig.log("b.log"));
    append(&path, lines(0..100));
    append(&shrunk, lines(0..100));
    let running = rig.start();
    running.drain().await;
    running.stop().await;
    for name in ["checkpoint.json", "checkpoint.previous.json"] {
        fs::write(rig.state().join(name), b"{\"version\":1,").unwrap();
    }
    append(&path, lines(100..120));
    fs::write(&shrunk, "new\n").unwrap();
    let running = rig.start();
    assert_eq!(running.drain().await.lines, 21);
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..120));
    assert_eq!(rig.text(&shrunk), lines(0..100) + "new\n");
    // Whether something was lost with the old content, nobody can know any more; that is told.
    assert_eq!(rig.of(&shrunk).gaps.len(), 1);
    assert!(rig.state().join("checkpoint.json.corrupt-1").exists());
}

#[tokio::test]
async fn a_queue_that_went_back_to_an_earlier_state_is_filled_again_from_the_files() {
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    let queue = rig.root().join("queue.db");
    append(&path, lines(0..50));
    let running = rig.start();
    running.drain().await;
    running.stop().await;
    rig.broker = None;
    fs::copy(&queue, rig.root().join("earlier.db")).unwrap();
    rig.open_queue();
    let running = rig.start();
    for generation in 1..4 {
        append(&path, lines(generation * 50..generation * 50 + 30));
        fs::rename(&path, rig.log(&format!("a.log.{generation}"))).unwrap();
        append(&path, lines(generation * 50 + 30..generation * 50 + 50));
        running.drain().await;
    }
    running.stop().await;
    // As after a power loss: what was committed last is gone.
    rig.broker = None;
    fs::rename(rig.root().join("earlier.db"), &queue).unwrap();
    rig.open_queue();
    let running = rig.start();
    assert_eq!(running.drain().await.lines, 150);
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..200));
    assert_eq!(rig.of(&path).gaps, []);
}

#[tokio::test]
async fn with_the_queue_lost_what_the_store_lacks_is_shipped_again_and_what_is_gone_is_told_to_the_line() {
    let mut rig = Rig::new();
    let (path, gone) = (rig.log("a.log"), rig.log("b.log"));
    append(&path, lines(0..50));
    append(&gone, lines(0..10));
    let running = rig.start();
    running.drain().await;
    // So much the store has.
    rig.collect().await;
    append(&path, lines(50..80));
    fs::rename(&path, rig.log("a.log.1")).unwrap();
    append(&path, lines(80..100));
    running.drain().await;
    append(&gone, lines(10..30));
    running.drain().await;
    fs::remove_file(&gone).unwrap();
    running.stop().await;
    rig.broker = None;
    fs::remove_file(rig.root().join("queue.db")).unwrap();
    rig.open_queue();
    append(&gone, lines(30..35));
    let stored: HashMap<_, _> =
        rig.received.iter().map(|(stream, received)| (*stream, (received.end, received.next_line))).collect();
    assert_eq!(stored.len(), 2);
    let running = rig.start_rewound(stored);
    assert_eq!(running.drain().await.lines, 55);
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..100));
    assert_eq!(rig.of(&path).gaps, []);
    assert_eq!(rig.text(&gone), lines(0..10) + &lines(30..35));
    let gaps = &rig.of(&gone).gaps;
    assert_eq!((gaps.len(), gaps[0].lines, gaps[0].reason), (1, Some(20), GapReason::Queue));
    assert_eq!(rig.of(&gone).next_line, 35);
}

#[tokio::test]
async fn a_full_queue_stops_the_reading_and_nothing_is_lost() {
    let mut rig = Rig::with_queue(&EmbeddedConfig { limit_bytes: 20_000, ..EmbeddedConfig::default() });
    let path = rig.log("a.log");
    append(&path, lines(0..30_000));
    let running = rig.start_with(ShipperConfig { chunk_bytes: 8_000, ..rig.config() });
    running.wait("the first chunks", |status| status.totals.chunks > 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let taken_in = running.handle.status().borrow().totals.bytes;
    assert!(taken_in < 300_000, "{taken_in} bytes went into a queue of 20,000");
    // Rotated away meanwhile, and one more begun.
    fs::rename(&path, rig.log("a.log.1")).unwrap();
    append(&path, lines(30_000..30_010));
    let handle = running.handle.clone();
    let draining = tokio::spawn(async move { handle.drain().await });
    while !draining.is_finished() {
        rig.collect().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..30_010));
}

/// Ships for ever, in a process of its own.
async fn child(root: &Path) {
    let opened = EmbeddedBroker::open(&root.join("queue.db"), &EmbeddedConfig::default()).unwrap();
    let config = ShipperConfig { chunk_bytes: 2_000, ..Rig::config_for(root) };
    let shipper = Shipper::new(config, Arc::new(opened.broker)).unwrap();
    shipper.run(std::future::pending()).await.unwrap();
}

#[tokio::test]
async fn kill_9_at_any_moment_neither_loses_nor_repeats_a_line() {
    const NAME: &str = "recover::kill_9_at_any_moment_neither_loses_nor_repeats_a_line";
    if let Some(root) = std::env::var_os(CHILD) {
        child(Path::new(&root)).await;
    }
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    let mut written = 0;
    for round in 0..10_u64 {
        rig.broker = None;
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, rig.root())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = std::time::Instant::now() + Duration::from_millis(60 + round * 41 % 170);
        while std::time::Instant::now() < until {
            append(&path, lines(written..written + 100));
            written += 100;
            if written % 1500 == 0 {
                fs::rename(&path, rig.log(&format!("a.log.{}", written / 1500))).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        rig.open_queue();
        rig.collect().await;
    }
    let running = rig.start();
    let totals = running.drain().await;
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..written));
    assert!(totals.lines < u64::from(written), "the processes that were killed shipped nothing");
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_told_and_read_once_it_may() {
    const NAME: &str = "recover::a_file_that_may_not_be_read_is_told_and_read_once_it_may";
    const NOBODY: u32 = 65_534;
    if std::env::var_os(CHILD).is_none() && rustix::process::geteuid().is_root() {
        // Root may read everything: the test runs again as somebody else.
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let program = directory.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let output = Command::new(&program)
            .args(["--exact", NAME])
            .env(CHILD, directory.path())
            .env("TMPDIR", directory.path())
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let mut rig = Rig::new();
    let (path, other) = (rig.log("a.log"), rig.log("b.log"));
    append(&path, lines(0..5));
    append(&other, lines(0..5));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    let running = rig.start();
    running.wait("the warning", |status| status.unreadable.contains_key(&path)).await;
    assert_eq!(running.drain().await.lines, 5, "the others are shipped");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    running.wait("the file", |status| status.totals.lines == 10 && status.unreadable.is_empty()).await;
    running.stop().await;
    rig.collect().await;
    assert_eq!(rig.text(&path), lines(0..5));
}

#[tokio::test]
async fn the_checkpoint_tells_how_much_of_a_file_is_shipped() {
    let rig = Rig::new();
    let path = rig.log("a.log");
    append(&path, lines(0..10));
    let running = rig.start();
    running.drain().await;
    let mut writer = File::options().append(true).open(&path).unwrap();
    running.stop().await;
    writer.write_all(b"more\n").unwrap();
    let size = lines(0..10).len() as u64;
    let checkpoint = Checkpoint::load(&rig.state()).unwrap();
    assert_eq!(checkpoint.shipped_bytes(&path).unwrap(), size);
    let renamed = rig.log("a.log.1");
    fs::rename(&path, &renamed).unwrap();
    assert_eq!(checkpoint.shipped_bytes(&renamed).unwrap(), size);
    append(&path, "new\n");
    assert_eq!(checkpoint.shipped_bytes(&path).unwrap(), 0);
    let end = rig.broker().stream_end(stream_id("node-1", &path)).await.unwrap().unwrap();
    assert_eq!((end.position, end.next_line), (checkpoint.streams[0].position, 10));
}

#[tokio::test]
async fn a_short_file_is_known_under_quite_another_name_and_one_that_got_its_inode_is_not_taken_for_it() {
    for is_renamed in [true, false] {
        // An inode is given to the next file on some file systems only, and not every time.
        for _ in 0..10 {
            let mut rig = Rig::new();
            let (path, other) = (rig.log("a.log"), rig.log("b.log"));
            append(&path, "one\n");
            let running = rig.start();
            running.drain().await;
            running.stop().await;
            if is_renamed {
                fs::rename(&path, &other).unwrap();
                append(&other, "two\n");
            } else {
                fs::remove_file(&path).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                append(&other, "one\ntwo\n");
            }
            let running = rig.start();
            running.drain().await;
            running.stop().await;
            rig.collect().await;
            if is_renamed {
                assert_eq!(rig.text(&path), "one\ntwo\n");
            } else {
                assert_eq!(
                    (rig.text(&path), rig.text(&other)),
                    ("one\n".to_owned(), "one\ntwo\n".to_owned())
                );
            }
        }
    }
}
