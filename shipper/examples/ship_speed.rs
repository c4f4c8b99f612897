//! How fast one file goes into the embedded queue, beside `wc -l` on the same file.
//!
//! `cargo run --release -p rastro-shipper --example ship_speed -- FILE`

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use rastro_broker::{Broker, EmbeddedBroker, EmbeddedConfig};
use rastro_shipper::{Shipper, ShipperConfig};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

async fn ship(file: &Path) -> Fallible<(f64, u64)> {
    let directory = tempfile::tempdir()?;
    let opened = EmbeddedBroker::open(&directory.path().join("queue.db"), &EmbeddedConfig::default())?;
    let broker: Arc<dyn Broker> = Arc::new(opened.broker);
    let config = ShipperConfig {
        files: vec![file.to_owned()],
        state_dir: directory.path().join("shipper"),
        ..ShipperConfig::default()
    };
    let shipper = Shipper::new(config, Arc::clone(&broker))?;
    let handle = shipper.handle();
    let started = Instant::now();
    let running = tokio::spawn(shipper.run(std::future::pending()));
    let taking = tokio::spawn(async move {
        while let Ok(deliveries) = broker.take(4 << 20, Duration::from_secs(1)).await {
            let ids: Vec<u64> = deliveries.iter().map(|delivery| delivery.id).collect();
            if broker.acknowledge(&ids).await.is_err() {
                return;
            }
        }
    });
    let totals = handle.drain().await?;
    let seconds = started.elapsed().as_secs_f64();
    running.abort();
    taking.abort();
    Ok((seconds, totals.lines))
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let file = PathBuf::from(std::env::args_os().nth(1).ok_or("give a file")?);
    let size = std::fs::metadata(&file)?.len() as f64 / f64::from(1 << 20);
    for round in 1..=3 {
        let started = Instant::now();
        Command::new("wc").arg("-l").arg(&file).output()?;
        let wc = started.elapsed().as_secs_f64();
        let (seconds, lines) = ship(&file).await?;
        println!(
            "round {round}: wc -l {:.0} MiB/s; shipper {:.0} MiB/s, {:.1} M lines/s; ratio {:.2}",
            size / wc,
            size / seconds,
            lines as f64 / seconds / 1e6,
            wc / seconds
        );
    }
    Ok(())
}
