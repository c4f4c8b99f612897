//! Requests to whichever node answers.
//!
//! A node that cannot be reached is left out for a while that grows with every failure; the request goes to the next one. All requests
//! that are made here may be repeated: they create under a given name, or compare before they set.

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use elasticsearch::http::{
    Method, Url,
    headers::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
    transport::{SingleNodeConnectionPool, Transport, TransportBuilder},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    certificates::{Authorities, complaint},
    compression::{Packed, packed},
    config::ElasticConfig,
    credentials::credentials,
};
use crate::StoreError;

/// How long a node is left out after its first failure, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Longest part of a server's own words in an error.
const MAX_WORDS: usize = 300;

/// All nodes.
#[derive(Debug)]
pub(super) struct Client {
    nodes: Vec<Node>,
    next: AtomicUsize,
    timeout: Duration,
    /// Whether bodies are sent gzipped.
    compresses: bool,
    ca_file: Option<PathBuf>,
}

struct Node {
    /// Address without anything secret.
    name: String,
    /// Whether it is spoken to without TLS.
    is_plain: bool,
    /// Holds the credentials, and would print them.
    transport: Transport,
    absence: Mutex<Option<Absence>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("absence", &self.absence)
            .finish_non_exhaustive()
    }
}

/// Why a node gave no answer.
enum Failure {
    /// Its certificate was refused.
    Certificate(String),
    /// Anything else, which may pass.
    Passing(String),
}

#[derive(Debug, Clone, Copy)]
struct Absence {
    until: Instant,
    pause: Duration,
}

/// What a node answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) node: String,
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub(super) enum Body {
    None,
    Json(Bytes),
    Lines(Bytes),
}

impl From<&Value> for Body {
    fn from(value: &Value) -> Self {
        Self::Json(value.to_string().into())
    }
}

impl Client {
    /// Makes connections possible; none is opened yet.
    pub(super) fn new(config: &ElasticConfig) -> Result<Self, StoreError> {
        let refused =
            |message: String| StoreError::Refused { server: "on Elasticsearch".to_owned(), message };
        if config.urls.is_empty() {
            return Err(refused(
                "no address is given; set `store.urls`, as in [\"https://10.0.0.2:9200\"]".to_owned(),
            ));
        }
        let credentials = credentials(config)?;
        let authorities = config.ca_file.as_deref().map(Authorities::read).transpose().map_err(refused)?;
        let mut nodes = Vec::new();
        for text in &config.urls {
            // Not even in an error: whatever stands before an `@` may be a password.
            let told = if text.contains('@') { "one of `store.urls`" } else { text.as_str() };
            let url = Url::parse(text).map_err(|error| {
                refused(format!("`{told}` is no address ({error}); one looks like https://10.0.0.2:9200"))
            })?;
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return Err(refused(format!("`{told}` is no address; one looks like https://10.0.0.2:9200")));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(refused(
                    "an address in `store.urls` holds a user or password; give `store.username`, and the password by \
                     RASTRO_STORE__PASSWORD or `store.password_file`"
                        .to_owned(),
                ));
            }
            let port = url.port_or_known_default().unwrap_or(9200);
            let name = format!("{}:{port}", url.host_str().unwrap_or("localhost"));
            let is_plain = url.scheme() == "http";
            let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
                .disable_proxy()
                .enable_meta_header(false)
                .timeout(config.request_timeout);
            if let Some(credentials) = &credentials {
                builder = builder.auth(credentials.clone());
            }
            if let Some(authorities) = &authorities {
                builder = builder.cert_validation(authorities.validation().map_err(refused)?);
            }
            let transport = builder.build().map_err(|error| match &authorities {
                // Only then is what they hold looked into.
                Some(authorities) => refused(authorities.refused()),
                None => refused(format!("{name}: {error}")),
            })?;
            nodes.push(Node { name, is_plain, transport, absence: Mutex::new(None) });
        }
        Ok(Self {
            nodes,
            next: AtomicUsize::new(0),
            timeout: config.request_timeout,
            compresses: config.compress,
            ca_file: config.ca_file.clone(),
        })
    }

    /// Names of all nodes, for messages.
    pub(super) fn server(&self) -> String {
        self.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Sends a request to a node that answers. Any status counts as an answer but 502 to 504, by which a node says that it cannot.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body,
    ) -> Result<Answer, StoreError> {
        let mut failure = String::from("no node is left to ask");
        let mut refused = None;
        let mut has_other_failures = false;
        let body = packed(body, self.compresses).await;
        for node in self.in_turn() {
            let begun = Instant::now();
            let sent = self.send_to(node, method, path, query, body.as_ref()).await;
            tracing::trace!(?method, path, milliseconds = begun.elapsed().as_millis() as u64, "asked");
            match sent {
                Ok(answer) if !matches!(answer.status, 502..=504) => {
                    *node.absence.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Ok(answer);
                }
                Ok(answer) => {
                    failure = format!("{}: {}", node.name, answer.words());
                    has_other_failures = true;
                    // It is there; only what it stands for is not. Asking the others costs little, asking it again neither.
                }
                Err(Failure::Certificate(sentence)) => {
                    failure.clone_from(&sentence);
                    refused = Some(sentence);
                    node.leave_out();
                }
                Err(Failure::Passing(words)) => {
                    failure = format!("{}: {words}", node.name);
                    has_other_failures = true;
                    node.leave_out();
                }
            }
            metrics::counter!("rastro_store_node_failures_total").increment(1);
        }
        // Where one node is only away for a while, it is waited for.
        if let (Some(message), false) = (refused, has_other_failures) {
            return Err(StoreError::Refused { server: self.server(), message });
        }
        Err(StoreError::Unavailable {
            server: self.server(),
            message: format!(
                "no node answers ({failure}); check `store.urls`, and that Elasticsearch runs and listens there"
            ),
        })
    }

    /// Every node, those first that are not left out, beginning with another one each time.
    fn in_turn(&self) -> Vec<&Node> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let count = self.nodes.len();
        let all = (0..count).map(|step| &self.nodes[(first + step) % count]);
        let (mut present, absent): (Vec<&Node>, Vec<&Node>) = all.partition(|node| !node.is_left_out(now));
        // Where none is known to be there, all are asked: an error must be found out, not assumed.
        if present.is_empty() {
            present = absent;
        }
        present
    }

    /// Sends JSON, expects success, reads JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body,
    ) -> Result<T, StoreError> {
        let answer = self.send(method, path, query, body).await?;
        answer.success()?.read()
    }

    /// The same, where "not found" is an answer.
    pub(super) async fn json_if_found<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body,
    ) -> Result<Option<T>, StoreError> {
        let answer = self.send(method, path, query, body).await?;
        if answer.status == 404 { Ok(None) } else { answer.success()?.read().map(Some) }
    }

    async fn send_to(
        &self,
        node: &Node,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Packed>,
    ) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(body) = body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
            if body.is_gzipped {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let query = (!query.is_empty()).then_some(query);
        let bytes = body.map(|body| body.bytes.clone());
        let sent = node.transport.send(method, path, headers, query, bytes, Some(self.timeout)).await;
        let response = sent.map_err(|error| self.failure(node, &error))?;
        let status = response.status_code().as_u16();
        let body = response.bytes().await.map_err(|error| self.failure(node, &error))?;
        Ok(Answer { node: node.name.clone(), status, body })
    }

    fn failure(&self, node: &Node, error: &(dyn std::error::Error + 'static)) -> Failure {
        if let Some(sentence) = complaint(error, &node.name, self.ca_file.as_deref()) {
            return Failure::Certificate(sentence);
        }
        let words = cause(error);
        // This is all that a server says which expects TLS.
        let is_cut_off = node.is_plain && words.contains("closed before message completed");
        Failure::Passing(if is_cut_off {
            format!("{words}; if it speaks TLS, let its address in `store.urls` begin with https://")
        } else {
            words
        })
    }
}

impl Node {
    fn is_left_out(&self, now: Instant) -> bool {
        self.absence.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|absence| absence.until > now)
    }

    fn leave_out(&self) {
        let mut absence = self.absence.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = absence.map_or(FIRST_PAUSE, |absence| (absence.pause * 2).min(LONGEST_PAUSE));
        *absence = Some(Absence { until: Instant::now() + pause, pause });
    }
}

/// The innermost words of an error: the outer ones name the address with everything in it.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl Answer {
    /// The answer if it is one of success, else what it means.
    pub(super) fn success(self) -> Result<Self, StoreError> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.into_error()) }
    }

    /// What an answer that is no success means.
    pub(super) fn into_error(self) -> StoreError {
        let words = self.words();
        let server = self.node;
        match self.status {
            401 => StoreError::Refused {
                server,
                message: "it does not accept the credentials (401); check `store.username` and the password (RASTRO_STORE__PASSWORD, \
                          `store.password_file`), or `store.api_key_file`"
                    .to_owned(),
            },
            403 | 429 if is_block(&words) => StoreError::Unavailable {
                server,
                message: format!(
                    "an index cannot be written ({words}); where a disk was too full, make room: Elasticsearch then lifts the block by itself"
                ),
            },
            403 => StoreError::Refused {
                server,
                message: format!("the user may not do this (403: {words}); give it the privileges that the README lists"),
            },
            408 | 429 | 502..=504 => {
                StoreError::Unavailable { server, message: format!("it has no room for more work now ({words}); it can be tried again") }
            }
            413 => StoreError::Refused {
                server,
                message: "a request is larger than the server takes (413); lower `store.bulk_bytes` or raise its http.max_content_length"
                    .to_owned(),
            },
            status => StoreError::Refused { server, message: format!("it refuses with {status}: {words}") },
        }
    }

    /// The body as JSON.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.body).map_err(|error| StoreError::Refused {
            server: self.node.clone(),
            message: format!("its answer cannot be read ({error}); is it an Elasticsearch 8?"),
        })
    }

    /// The reason that the server gives, cut.
    pub(super) fn words(&self) -> String {
        let json: Option<Value> = serde_json::from_slice(&self.body).ok();
        let reason = json.as_ref().and_then(|json| {
            let error = &json["error"];
            let cause = &error["root_cause"][0];
            [&error["reason"], &cause["reason"], error].into_iter().find_map(Value::as_str).map(str::to_owned)
        });
        let words = reason.unwrap_or_else(|| {
            if self.body.is_empty() {
                format!("status {}", self.status)
            } else {
                String::from_utf8_lossy(&self.body[..self.body.len().min(MAX_WORDS)]).into_owned()
            }
        });
        cut(&words)
    }
}

/// A text of bounded length for an error.
pub(super) fn cut(words: &str) -> String {
    match words.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

/// Whether a refusal is one that goes by itself: an index that is read-only for lack of room.
pub(super) fn is_block(words: &str) -> bool {
    words.contains("blocked by")
}

/// A name as one part of a path.
pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
