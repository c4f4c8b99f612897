//! Asking a server on this machine whether it is there, without a client library.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::record::Running;

pub(super) const HOST: &str = "127.0.0.1";
/// How long one question may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// `wanted` if it is free, else another.
pub(super) fn free_port(wanted: Option<u16>) -> anyhow::Result<u16> {
    let wanted = wanted.and_then(|port| TcpListener::bind((HOST, port)).ok());
    let listener = match wanted {
        Some(listener) => listener,
        None => TcpListener::bind((HOST, 0)).context("no free port on this machine")?,
    };
    Ok(listener.local_addr()?.port())
}

/// Sends `question` and returns what comes back until it holds `end` or the server closes.
pub(super) fn ask(port: u16, question: &[u8], end: &str) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WAIT)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.write_all(question)?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part)?;
        answer.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&answer);
        if count == 0 || text.contains(end) || answer.len() > 1 << 20 {
            return Ok(text.into_owned());
        }
    }
}

/// Waits until `is_ready` says so; gives up if the server ends, or after `limit`.
pub(super) fn wait_until(
    running: &Running,
    limit: Duration,
    is_ready: impl Fn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        if is_ready()? {
            return Ok(());
        }
        if !running.is_alive() {
            bail!("the server at {} has ended; its log is {}", running.url, running.log_file.display());
        }
        if begun.elapsed() > limit {
            bail!(
                "the server at {} does not answer after {} s; its log is {}",
                running.url,
                limit.as_secs(),
                running.log_file.display()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_given() {
        let listener = TcpListener::bind((HOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert_ne!(free_port(Some(taken)).unwrap(), taken);
        drop(listener);
        assert_eq!(free_port(Some(taken)).unwrap(), taken);
    }
}
