//! Requests to whichever node answers.
//!
//! A node that cannot be reached is left out for a while that grows with every failure; the request goes to the next one. All requests
//! that are made here may be repeated: they create under a given name, or compare before they set.

use std::{
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use elasticsearch::{
    auth::Credentials,
    cert::{Certificate, CertificateValidation},
    http::{
        Method, Url,
        headers::{CONTENT_TYPE, HeaderMap, HeaderValue},
        transport::{SingleNodeConnectionPool, Transport, TransportBuilder},
    },
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::config::ElasticConfig;
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
}

#[derive(Debug)]
struct Node {
    /// Address without anything secret.
    name: String,
    transport: Transport,
    absence: Mutex<Option<Absence>>,
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
        let certificates = config
            .ca_file
            .as_ref()
            .map(|path| {
                let bytes =
                    std::fs::read(path).map_err(|error| refused(format!("`{}`: {error}", path.display())))?;
                Ok::<_, StoreError>((path, bytes))
            })
            .transpose()?;
        let mut nodes = Vec::new();
        for text in &config.urls {
            let url = Url::parse(text).map_err(|error| {
                refused(format!("`{text}` is no address ({error}); one looks like https://10.0.0.2:9200"))
            })?;
            let port = url.port_or_known_default().unwrap_or(9200);
            let name = format!("{}:{port}", url.host_str().unwrap_or("localhost"));
            let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
                .disable_proxy()
                .enable_meta_header(false)
                .timeout(config.request_timeout);
            if let Some(credentials) = &credentials {
                builder = builder.auth(credentials.clone());
            }
            if let Some((path, bytes)) = &certificates {
                let certificate = Certificate::from_pem(bytes).map_err(|error| {
                    refused(format!("`{}` holds no certificate: {error}", path.display()))
                })?;
                builder = builder.cert_validation(CertificateValidation::Full(certificate));
            }
            let transport = builder.build().map_err(|error| refused(format!("{name}: {error}")))?;
            nodes.push(Node { name, transport, absence: Mutex::new(None) });
        }
        Ok(Self { nodes, next: AtomicUsize::new(0), timeout: config.request_timeout })
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
        for node in self.in_turn() {
            let begun = Instant::now();
            let sent = node.send(method, path, query, &body, self.timeout).await;
            tracing::trace!(?method, path, milliseconds = begun.elapsed().as_millis() as u64, "asked");
            match sent {
                Ok(answer) if !matches!(answer.status, 502..=504) => {
                    *node.absence.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Ok(answer);
                }
                Ok(answer) => {
                    failure = format!("{}: {}", node.name, answer.words());
                    // It is there; only what it stands for is not. Asking the others costs little, asking it again neither.
                }
                Err(error) => {
                    failure = format!("{}: {error}", node.name);
                    node.leave_out();
                }
            }
            metrics::counter!("rastro_store_node_failures_total").increment(1);
        }
        Err(StoreError::Unavailable {
            server: self.server(),
            message: format!("no node answers ({failure}); it is tried again"),
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
}

impl Node {
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: &Body,
        timeout: Duration,
    ) -> Result<Answer, String> {
        let mut headers = HeaderMap::new();
        let bytes = match body {
            Body::None => None,
            Body::Json(bytes) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Some(bytes.clone())
            }
            Body::Lines(bytes) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
                Some(bytes.clone())
            }
        };
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let query = (!query.is_empty()).then_some(query);
        let sent = self.transport.send(method, path, headers, query, bytes, Some(timeout)).await;
        let response = sent.map_err(|error| cause(&error))?;
        let status = response.status_code().as_u16();
        let body = response.bytes().await.map_err(|error| cause(&error))?;
        Ok(Answer { node: self.name.clone(), status, body })
    }

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
                StoreError::Unavailable { server, message: format!("it has no room for more work now ({words}); it is tried again") }
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

fn credentials(config: &ElasticConfig) -> Result<Option<Credentials>, StoreError> {
    let from_file = |path: &std::path::Path, key: &str| {
        std::fs::read_to_string(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned()).map_err(
            |error| StoreError::Refused {
                server: "on Elasticsearch".to_owned(),
                message: format!("`{key}` = `{}` cannot be read: {error}", path.display()),
            },
        )
    };
    let api_key = match (&config.api_key, &config.api_key_file) {
        (Some(key), _) => Some(key.reveal().to_owned()),
        (None, Some(path)) => Some(from_file(path, "store.api_key_file")?),
        (None, None) => None,
    };
    if let Some(key) = api_key {
        return Ok(Some(Credentials::EncodedApiKey(key)));
    }
    let password = match (&config.password, &config.password_file) {
        (Some(password), _) => Some(password.reveal().to_owned()),
        (None, Some(path)) => Some(from_file(path, "store.password_file")?),
        (None, None) => None,
    };
    Ok(password.map(|password| Credentials::Basic(config.username.clone(), password)))
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
