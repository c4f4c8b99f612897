//! Waiting for servers: a role that is started before them works once they do.

use std::{
    fmt::Display,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The first pause between two tries; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that grow from try to try, each cut short by up to half so that processes do not come back all at once.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) const fn new() -> Self {
        Self(FIRST)
    }

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        let share = RandomState::new().hash_one(0_u8) as u32;
        pause / 2 + (pause / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
    }
}

/// Does `work` until it succeeds or fails for good. The first failure is told, and the end of waiting.
pub(super) async fn patiently<T, E: Display>(
    server: &str,
    work: impl AsyncFn() -> Result<T, E>,
    is_transient: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let mut pauses = Pauses::new();
    let mut has_waited = false;
    loop {
        match work().await {
            Err(error) if is_transient(&error) => {
                if !has_waited {
                    tracing::warn!(server, %error, "waiting for a server");
                }
                has_waited = true;
                tokio::time::sleep(pauses.next()).await;
            }
            outcome => {
                if has_waited && outcome.is_ok() {
                    tracing::info!(server, "the server is there");
                }
                return outcome;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut pauses = Pauses::new();
        let first = pauses.next();
        assert!(first >= FIRST / 2 && first <= FIRST);
        let last = (0..20).map(|_| pauses.next()).last().unwrap();
        assert!(last >= LONGEST / 2 && last <= LONGEST);
    }

    #[tokio::test]
    async fn what_passes_by_itself_is_waited_for_and_nothing_else() {
        let tries = AtomicU32::new(0);
        let outcome = patiently(
            "server",
            async || match tries.fetch_add(1, Ordering::Relaxed) {
                0 => Err("away"),
                _ => Ok(7),
            },
            |error| *error == "away",
        );
        assert_eq!(outcome.await, Ok(7));
        let refused: Result<(), _> =
            patiently("server", async || Err("refused"), |error| *error == "away").await;
        assert_eq!(refused, Err("refused"));
    }
}
