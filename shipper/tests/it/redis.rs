//! A Redis that forgets what it had accepted, with a shipper that lives on or died with it. Without redis-server the tests say so and pass.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rastro_broker::{Broker, RedisBroker, RedisConfig};
use rastro_shipper::{Checkpoint, Shipper, ShipperConfig, stream_id};

use crate::{
    rig::{Rig, Running, append, lines},
    server::Server,
};

const EVERY_SECOND: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "everysec"];

async fn open(config: RedisConfig) -> Arc<RedisBroker> {
    open_with_window(config, Duration::from_millis(800)).await
}

/// What Redis has held for as long as `window` counts as durable, and is nobody's to write again.
async fn open_with_window(config: RedisConfig, window: Duration) -> Arc<RedisBroker> {
    Arc::new(RedisBroker::connect(RedisConfig { resend_window: window, ..config }).await.unwrap())
}

fn start(rig: &Rig, broker: &Arc<RedisBroker>) -> Running {
    let config = ShipperConfig { chunk_bytes: 4000, ..rig.config() };
    rig.start_shipper(Shipper::new(config, Arc::clone(broker) as Arc<dyn Broker>).unwrap())
}

/// Everything that is in the queue, checked to fit together.
async fn collect(rig: &mut Rig, broker: &RedisBroker) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while broker.depth().await.unwrap().chunks > 0 {
        assert!(Instant::now() < deadline);
        let taken = broker.take(1 << 20, Duration::from_millis(200)).await.unwrap();
        for delivery in &taken {
            rig.receive(&delivery.chunk);
        }
        broker.acknowledge(&taken.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await.unwrap();
    }
}

fn rotate(rig: &Rig, path: &Path, number: u32) {
    fs::rename(path, rig.log(&format!("a.log.{number}"))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_shipper_reads_again_what_redis_has_lost_for_good() {
    let Some(mut server) = Server::start_with(&EVERY_SECOND) else { return };
    // Nothing is remembered in memory: all of it is the shipper's to read again.
    // The power fails before the window is over, however slow the machine is.
    let config = RedisConfig { resend_limit_bytes: 0, ..server.config() };
    let broker = open_with_window(config, Duration::from_secs(8)).await;
    let mut rig = Rig::new();
    let (path, resting) = (rig.log("a.log"), rig.log("b.log"));
    append(&path, lines(0..1000));
    let running = start(&rig, &broker);
    running.drain().await;
    let left = server.append_only_length();
    append(&path, lines(1000..2000));
    rotate(&rig, &path, 1);
    append(&path, lines(2000..3000));
    append(&resting, lines(0..100));
    running.drain().await;
    server.lose_power(left);
    // Nobody writes to one of them any more.
    append(&path, lines(3000..3001));
    let deadline = Instant::now() + Duration::from_secs(20);
    for id in [stream_id("node-1", &path), stream_id("node-1", &resting)] {
        let expected = if id == stream_id("node-1", &path) { 3001 } else { 100 };
        while broker.stream_end(id).await.unwrap().is_none_or(|end| end.next_line < expected) {
            assert!(Instant::now() < deadline, "{:?}", broker.stream_end(id).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    running.drain().await;
    running.stop().await;
    collect(&mut rig, &broker).await;
    assert_eq!(rig.text(&path), lines(0..3001));
    assert_eq!(rig.text(&resting), lines(0..100));
    assert_eq!(rig.of(&path).gaps, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipper_that_died_with_redis_goes_on_from_what_redis_kept_and_the_checkpoint_did_not_run_ahead() {
    let Some(mut server) = Server::start_with(&EVERY_SECOND) else { return };
    let broker = open(server.config()).await;
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    append(&path, lines(0..1000));
    let running = start(&rig, &broker);
    running.drain().await;
    let durable = lines(0..1000).len() as u64;
    let deadline = Instant::now() + Duration::from_secs(20);
    while Checkpoint::load(&rig.state()).unwrap().shipped_bytes(&path).unwrap() < durable {
        assert!(Instant::now() < deadline, "the checkpoint never follows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let left = server.append_only_length();
    append(&path, lines(1000..2000));
    running.drain().await;
    rotate(&rig, &path, 1);
    append(&path, lines(2000..2500));
    running.drain().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // So much may be thrown away by whoever keeps the disk from filling.
    let told = Checkpoint::load(&rig.state()).unwrap();
    assert_eq!(told.shipped_bytes(&rig.log("a.log.1")).unwrap(), durable);
    assert_eq!(told.shipped_bytes(&path).unwrap(), 0);
    running.kill().await;
    drop(broker);
    server.lose_power(left);
    let broker = open(server.config()).await;
    let running = start(&rig, &broker);
    running.drain().await;
    running.stop().await;
    collect(&mut rig, &broker).await;
    assert_eq!(rig.text(&path), lines(0..2500));
    assert_eq!(rig.of(&path).gaps, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_under_load_again_and_again_and_loses_its_end_each_time_loses_no_line() {
    const LINES_AT_ONCE: u32 = 400;
    let Some(mut server) = Server::start_with(&EVERY_SECOND) else { return };
    let broker = open(RedisConfig { resend_limit_bytes: 20_000, ..server.config() }).await;
    let mut rig = Rig::new();
    let path = rig.log("a.log");
    let running = start(&rig, &broker);
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (stop, path, rotated) = (Arc::clone(&stop), path.clone(), rig.log("a.log."));
        tokio::task::spawn_blocking(move || {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                append(&path, lines(written..written + LINES_AT_ONCE));
                written += LINES_AT_ONCE;
                if written % (40 * LINES_AT_ONCE) == 0 {
                    let number = written / (40 * LINES_AT_ONCE);
                    fs::rename(&path, format!("{}{number}", rotated.display())).unwrap();
                }
                std::thread::sleep(Duration::from_millis(4));
            }
            written
        })
    };
    let mut lost = 0;
    for round in 0..6_u64 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let left = server.append_only_length();
        tokio::time::sleep(Duration::from_millis(200 + round * 37)).await;
        lost += server.lose_power(left);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    running.drain().await;
    running.stop().await;
    collect(&mut rig, &broker).await;
    assert_eq!(rig.text(&path), lines(0..written));
    assert_eq!(rig.of(&path).gaps, []);
    eprintln!("{written} lines; redis lost {lost} bytes of its file in 6 losses of power");
    assert!(lost > 50_000, "too little was lost to prove anything: {lost}");
}
