//! A way to Elasticsearch that can be cut.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Forwards connections and cuts each after as many bytes as it is allowed, in both directions together.
pub(crate) struct Proxy {
    pub(crate) address: String,
    allowance: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let allowance = Arc::new(AtomicU64::new(u64::MAX));
        let cuts = Arc::new(AtomicU64::new(0));
        let (limit, counter) = (Arc::clone(&allowance), Arc::clone(&cuts));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (limit, counter, target) = (Arc::clone(&limit), Arc::clone(&counter), target.clone());
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(&target).await
                        && forward(near, far, limit.load(Ordering::Relaxed)).await
                    {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { address, allowance, cuts }
    }

    /// Lets connections that are opened from now on live for `bytes`.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.allowance.store(bytes, Ordering::Relaxed);
    }

    /// Connections that were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Returns whether it was cut.
async fn forward(mut near: TcpStream, mut far: TcpStream, mut allowance: u64) -> bool {
    let (mut from_near, mut from_far) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        let (count, is_near) = tokio::select! {
            count = near.read(&mut from_near) => (count, true),
            count = far.read(&mut from_far) => (count, false),
        };
        let Ok(count @ 1..) = count else { return false };
        let passed = allowance.min(count as u64) as usize;
        let written = if is_near {
            far.write_all(&from_near[..passed]).await
        } else {
            near.write_all(&from_far[..passed]).await
        };
        allowance -= passed as u64;
        if allowance == 0 {
            return true;
        }
        if written.is_err() {
            return false;
        }
    }
}
