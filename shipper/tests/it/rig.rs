//! A directory with logs, a queue, and a shipper between them that can be killed.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rastro_broker::{Broker, Chunk, EmbeddedBroker, EmbeddedConfig};
use rastro_model::{Gap, Position, StreamId};
use rastro_shipper::{Shipper, ShipperConfig, ShipperError, ShipperHandle, Status, Totals, stream_id};
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) struct Rig {
    directory: tempfile::TempDir,
    pub(crate) broker: Option<Arc<EmbeddedBroker>>,
    pub(crate) received: BTreeMap<StreamId, Received>,
}

/// What has arrived of a stream.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: Position,
    pub(crate) next_line: u64,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) cut_lines: u64,
    pub(crate) chunks: usize,
    pub(crate) header: Option<Vec<u8>>,
}

pub(crate) struct Running {
    pub(crate) handle: ShipperHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Totals, ShipperError>>,
}

impl Running {
    /// As by kill -9: nothing is finished, nothing is written; returns when no part of it does anything any more.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let mut status = self.handle.status();
        while status.changed().await.is_ok() {}
    }

    pub(crate) async fn stop(self) -> Totals {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap()
    }

    /// Waits until `condition` holds of the status. However slow the machine is: only where nothing is shipped either for 20 seconds is
    /// it waited in vain.
    pub(crate) async fn wait(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        let mut status = self.handle.status();
        let mut totals = status.borrow().totals;
        let mut deadline = Instant::now() + Duration::from_secs(20);
        while !condition(&status.borrow_and_update()) {
            let changed = tokio::time::timeout_at(deadline.into(), status.changed()).await;
            assert!(!matches!(changed, Ok(Err(_))), "the shipper ended before: {what}");
            let now = status.borrow().totals;
            if now != totals {
                totals = now;
                deadline = Instant::now() + Duration::from_secs(20);
            }
            assert!(Instant::now() < deadline, "waited in vain for: {what}; {totals:?}");
        }
    }

    pub(crate) async fn drain(&self) -> Totals {
        let drained = tokio::time::timeout(Duration::from_mins(2), self.handle.drain()).await;
        drained
            .unwrap_or_else(|_| panic!("drained in vain; {:?}", self.handle.status().borrow().totals))
            .unwrap()
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with_queue(&EmbeddedConfig::default())
    }

    pub(crate) fn with_queue(config: &EmbeddedConfig) -> Self {
        // For whoever looks for a fault: RUST_LOG=rastro_shipper=debug.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .without_time()
            .try_init();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        let broker = EmbeddedBroker::open(&directory.path().join("queue.db"), config).unwrap().broker;
        Self { directory, broker: Some(Arc::new(broker)), received: BTreeMap::new() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.root().join("logs").join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root().join("shipper")
    }

    pub(crate) fn config(&self) -> ShipperConfig {
        Self::config_for(self.root())
    }

    pub(crate) fn config_for(root: &Path) -> ShipperConfig {
        ShipperConfig {
            include: vec![format!("{}/logs/*.log", root.display())],
            node: "node-1".to_owned(),
            state_dir: root.join("shipper"),
            flush_interval: Duration::from_millis(5),
            poll_interval: Duration::from_millis(200),
            wake_interval: Duration::from_millis(2),
            rotation_grace: Duration::from_millis(20),
            checkpoint_interval: Duration::from_millis(20),
            ..ShipperConfig::default()
        }
    }

    /// Opens the queue again after it was closed by taking `broker` away.
    pub(crate) fn open_queue(&mut self) {
        let opened = EmbeddedBroker::open(&self.root().join("queue.db"), &EmbeddedConfig::default()).unwrap();
        self.broker = Some(Arc::new(opened.broker));
    }

    pub(crate) fn broker(&self) -> Arc<EmbeddedBroker> {
        Arc::clone(self.broker.as_ref().unwrap())
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(self.config())
    }

    pub(crate) fn start_with(&self, config: ShipperConfig) -> Running {
        self.start_shipper(Shipper::new(config, self.broker()).unwrap())
    }

    pub(crate) fn start_rewound(&self, stored: HashMap<StreamId, (Position, u64)>) -> Running {
        self.start_shipper(Shipper::new(self.config(), self.broker()).unwrap().rewind(stored))
    }

    #[allow(clippy::unused_self, reason = "reads as the others do")]
    pub(crate) fn start_shipper(&self, shipper: Shipper) -> Running {
        let handle = shipper.handle();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(shipper.run(async {
            let _ = stopped.await;
        }));
        Running { handle, stop, task }
    }

    /// Takes everything out of the queue and checks that it fits together.
    pub(crate) async fn collect(&mut self) {
        let broker = self.broker();
        loop {
            let deliveries = broker.take(1 << 20, Duration::ZERO).await.unwrap();
            if deliveries.is_empty() {
                return;
            }
            for delivery in &deliveries {
                self.receive(&delivery.chunk);
            }
            let ids: Vec<u64> = deliveries.iter().map(|delivery| delivery.id).collect();
            broker.acknowledge(&ids).await.unwrap();
        }
    }

    pub(crate) fn receive(&mut self, chunk: &Chunk) {
        let received = self.received.entry(chunk.stream).or_default();
        assert_eq!(chunk.previous, received.end, "a chunk does not follow on the one before");
        assert!(chunk.start >= chunk.previous && chunk.end > chunk.start, "{chunk:?}");
        assert_eq!(chunk.node, "node-1");
        let lost = chunk.gap.as_ref().and_then(|gap| gap.lines).unwrap_or(0);
        assert_eq!(chunk.first_line, received.next_line + lost);
        let mut bytes = Vec::new();
        chunk.payload.decompress(&mut bytes).unwrap();
        assert_eq!(bytes.last(), Some(&b'\n'));
        assert_eq!(bytes.split_inclusive(|&byte| byte == b'\n').count(), chunk.lines as usize);
        received.bytes.extend_from_slice(&bytes);
        received.end = chunk.end;
        received.next_line = chunk.first_line + u64::from(chunk.lines);
        received.gaps.extend(chunk.gap.clone());
        received.cut_lines += u64::from(chunk.cut_lines);
        received.chunks += 1;
        received.header.clone_from(&chunk.header);
    }

    pub(crate) fn of(&self, path: &Path) -> &Received {
        let id = stream_id("node-1", path);
        self.received.get(&id).unwrap_or_else(|| panic!("nothing arrived of {}", path.display()))
    }

    pub(crate) fn text(&self, path: &Path) -> String {
        String::from_utf8(self.of(path).bytes.clone()).unwrap()
    }
}

pub(crate) fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
}

/// Numbered lines, with their line breaks.
pub(crate) fn lines(range: std::ops::Range<u32>) -> String {
    range.fold(String::new(), |text, number| text + &format!("line {number} of this log\n"))
}
