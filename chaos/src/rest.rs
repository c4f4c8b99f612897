//! Asking Elasticsearch directly, with nothing of what Rastro asks it with.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// How long one question may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Largest answer that is read.
const LARGEST: u64 = 1 << 30;

/// An HTTP server on this machine.
#[derive(Debug, Clone)]
pub struct Rest {
    /// Where it listens.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl Rest {
    /// Sends a JSON document (or none) and returns the JSON that comes back; an error where the answer's status is one.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (status, answer) = self.exchange(method, path, body)?;
        ensure!(status < 300, "{method} {path}: status {status}: {}", cut(&answer));
        serde_json::from_slice(&answer).with_context(|| format!("{method} {path}: the answer is no JSON"))
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Vec<u8>)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let credentials = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let question = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {credentials}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(question.as_bytes())?;
        answer(&mut BufReader::new(stream)).with_context(|| format!("{method} {path}"))
    }
}

/// Reads status and body.
fn answer(reader: &mut BufReader<impl Read>) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no HTTP answer but `{}`", line.trim_end()))?;
    let (mut length, mut is_chunked) = (None, false);
    loop {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "the answer ends in its headers");
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.trim().parse::<u64>().context("content-length")?),
            "transfer-encoding" => is_chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if is_chunked {
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim_end(), 16).context("size of a part")?;
            if body.len() as u64 + size > LARGEST {
                bail!("the answer is larger than {LARGEST} bytes");
            }
            let read = reader.by_ref().take(size).read_to_end(&mut body)?;
            ensure!(read as u64 == size, "the answer ends in a part");
            line.clear();
            reader.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        }
    } else {
        reader.by_ref().take(length.unwrap_or(LARGEST).min(LARGEST)).read_to_end(&mut body)?;
        ensure!(length.is_none_or(|length| length == body.len() as u64), "the answer is cut short");
    }
    Ok((status, body))
}

fn cut(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_both_forms() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
        ] {
            let (status, body) = answer(&mut BufReader::new(text.as_bytes())).unwrap();
            assert_eq!((status, body.as_slice()), (200, b"{\"a\":1}".as_slice()));
        }
        for text in ["", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\":1}", "HTTP/1.1 200 OK\r\n"] {
            assert!(answer(&mut BufReader::new(text.as_bytes())).is_err(), "{text}");
        }
    }
}
