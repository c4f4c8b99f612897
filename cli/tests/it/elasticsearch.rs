//! The Elasticsearch that `cargo xtask services up` has started, with names of a test's own in it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::Rastro;

/// A part of a server: everything in it begins with `name`, and is removed at the end.
pub(crate) struct Elasticsearch {
    pub(crate) url: String,
    user: String,
    password_file: PathBuf,
    /// Begins the names of datasets and of Rastro's own indices.
    pub(crate) name: String,
}

impl Elasticsearch {
    /// `None`, with a message, where no server was started.
    pub(crate) fn find() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let told = std::env::var_os("RASTRO_SERVICES").map(PathBuf::from);
        let told = told.unwrap_or_else(|| {
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/services/services.json")
        });
        let services: Value =
            serde_json::from_slice(&std::fs::read(&told).unwrap_or_default()).unwrap_or_default();
        let service = &services["elasticsearch"];
        let text = |name: &str| service[name].as_str().map(str::to_owned);
        let found = || {
            let this = Self {
                url: text("url")?,
                user: text("user")?,
                password_file: PathBuf::from(text("password_file")?),
                name: format!("cli-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)),
            };
            this.try_ask("GET", "/_cluster/health", None).ok().map(|_| this)
        };
        let found = found();
        if found.is_none() {
            eprintln!("skipped: no Elasticsearch runs (`cargo xtask services up elasticsearch`)");
        }
        found
    }

    /// `rastro` with its store here.
    pub(crate) fn command(&self, rastro: &Rastro, arguments: &[&str]) -> Command {
        let mut command = rastro.command(arguments);
        let settings = [
            format!("store.urls=[\"{}\"]", self.url),
            format!("store.username=\"{}\"", self.user),
            format!("store.password_file={:?}", self.password_file.display().to_string()),
            format!("store.prefix=\"{}\"", self.name),
            format!("dataset.name=\"{}-shop\"", self.name),
        ];
        for setting in &settings {
            command.args(["--set", setting]);
        }
        command
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn text(&self, rastro: &Rastro, arguments: &[&str]) -> String {
        let output = self.command(rastro, arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "rastro {} failed: {error}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON that a command prints, which must succeed.
    pub(crate) fn json(&self, rastro: &Rastro, arguments: &[&str]) -> Value {
        let text = self.text(rastro, arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The one sentence of a command that must fail.
    pub(crate) fn error(&self, rastro: &Rastro, arguments: &[&str]) -> String {
        let output = self.command(rastro, arguments).output().unwrap();
        assert!(!output.status.success(), "rastro {} succeeded", arguments.join(" "));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What the server answers; it must be no error.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, Some(body)).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Aggregations over all documents of an index.
    pub(crate) fn aggregate(&self, index: &str, aggregations: &Value) -> Value {
        self.try_ask("POST", &format!("/{index}/_refresh"), None).unwrap();
        let body = json!({ "size": 0, "track_total_hits": true, "aggs": aggregations });
        self.ask("POST", &format!("/{index}/_search"), &body)
    }

    /// The answer to one request, or the server's error.
    pub(crate) fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let exchange = || -> std::io::Result<String> {
            let place = self.url.trim_start_matches("http://");
            let password = std::fs::read_to_string(&self.password_file)?;
            let credentials = STANDARD.encode(format!("{}:{}", self.user, password.trim()));
            let body = body.map(ToString::to_string).unwrap_or_default();
            let mut stream = TcpStream::connect(place)?;
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nConnection: close\r\nHost: {place}\r\nAuthorization: Basic {credentials}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = exchange().map_err(|error| error.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| answer.clone())?;
        let is_fine = head.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { of_chunks(body) } else { body.to_owned() };
        if !is_fine {
            return Err(body);
        }
        serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))
    }
}

impl Drop for Elasticsearch {
    fn drop(&mut self) {
        let indices = self.try_ask("GET", &format!("/_cat/indices/{}*?format=json&h=index", self.name), None);
        for index in indices.unwrap_or_default().as_array().into_iter().flatten() {
            let _ = self.try_ask("DELETE", &format!("/{}", index["index"].as_str().unwrap_or("none")), None);
        }
        let _ = self.try_ask("DELETE", &format!("/_index_template/{}*", self.name), None);
    }
}

/// What the pieces of an answer, each with its length in front, make together.
fn of_chunks(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((length, behind)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some(piece) = behind.get(..length).filter(|piece| !piece.is_empty()) else { break };
        whole.push_str(piece);
        rest = behind.get(length..).unwrap_or_default().trim_start_matches("\r\n");
    }
    whole
}
