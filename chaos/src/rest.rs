//! Asking Elasticsearch directly, with nothing of what Rastro asks it with.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
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
        let credentials = base64(format!("{}:{}", self.user, self.password).as_bytes());
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

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `bytes` in base 64.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3)
            .fold(0_usize, |bits, place| bits << 8 | group.get(place).map_or(0, |byte| usize::from(*byte)));
        for place in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}

/// The bytes that `text` stands for in base 64; `None` if it is none.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
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

    #[test]
    fn base_64_there_and_back() {
        for length in 0..70_usize {
            let bytes: Vec<u8> = (0..length).map(|place| (place * 37 + length) as u8).collect();
            assert_eq!(from_base64(&base64(&bytes)), Some(bytes));
        }
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(from_base64("a b"), None);
    }
}
