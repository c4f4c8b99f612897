//! An HTTP server between the store and Elasticsearch: it keeps what it is asked, and may reject single documents of bulk requests.

use std::{
    collections::VecDeque,
    io::Read as _,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use crate::home::Server;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) is_gzipped: bool,
    /// Bytes on the way.
    pub(crate) length: usize,
}

/// Whether a document is rejected: by its index and its id.
type Reject = Box<dyn FnMut(&str, &str) -> bool + Send>;

struct Shared {
    server: Server,
    seen: Mutex<Vec<Seen>>,
    reject: Mutex<Reject>,
    /// Statuses that the next bulk requests are answered with, instead of being passed on.
    refusals: Mutex<VecDeque<u16>>,
}

/// It runs for as long as the test's runtime.
pub(crate) struct Between {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

impl Between {
    pub(crate) async fn start(server: &Server) -> Self {
        let shared = Arc::new(Shared {
            server: server.clone(),
            seen: Mutex::default(),
            reject: Mutex::new(Box::new(|_, _| false)),
            refusals: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn reject(&self, reject: impl FnMut(&str, &str) -> bool + Send + 'static) {
        *self.shared.reject.lock().unwrap() = Box::new(reject);
    }

    pub(crate) fn refuse_next(&self, statuses: &[u16]) {
        self.shared.refusals.lock().unwrap().extend(statuses);
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let sent = to_bytes(body, usize::MAX).await.unwrap();
    let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let is_gzipped = header(header::CONTENT_ENCODING).as_deref() == Some("gzip");
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    shared.seen.lock().unwrap().push(Seen {
        path: path.clone(),
        authorization: header(header::AUTHORIZATION),
        is_gzipped,
        length: sent.len(),
    });
    let body = if is_gzipped { unzipped(&sent) } else { sent };
    let kind = header(header::CONTENT_TYPE).unwrap_or_else(|| "application/json".to_owned());
    let (status, answer) = if path.starts_with("/_bulk") {
        let refusal = shared.refusals.lock().unwrap().pop_front();
        match refusal {
            Some(status) => (status, error(status).to_string().into()),
            None => bulk(&shared, &path, &kind, &body).await,
        }
    } else {
        shared.server.pass_on(parts.method.as_str(), &path, &kind, body).await
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

fn unzipped(bytes: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain.into()
}

fn error(status: u16) -> Value {
    json!({ "status": status, "error": { "type": "es_rejected_execution_exception", "reason": "the queue is full" } })
}

/// Passes on what is not rejected, and puts the answers together again.
async fn bulk(shared: &Shared, path: &str, kind: &str, body: &[u8]) -> (u16, Bytes) {
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut passed = Vec::new();
    // By item: its action, and whether it is rejected.
    let mut items: Vec<(String, bool)> = Vec::new();
    while let Some(head) = lines.next() {
        let head_value: Value = serde_json::from_slice(head).unwrap();
        let (action, meta) = head_value.as_object().unwrap().iter().next().unwrap();
        let source = (action != "delete").then(|| lines.next().unwrap());
        let is_rejected =
            (shared.reject.lock().unwrap())(meta["_index"].as_str().unwrap(), meta["_id"].as_str().unwrap());
        items.push((action.clone(), is_rejected));
        if !is_rejected {
            for line in [Some(head), source].into_iter().flatten() {
                passed.extend_from_slice(line);
                passed.push(b'\n');
            }
        }
    }
    let mut answers = Vec::new();
    if !passed.is_empty() {
        let (status, answer) = shared.server.pass_on("POST", path, kind, passed.into()).await;
        if status >= 300 {
            return (status, answer);
        }
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        answers = std::mem::take(answer["items"].as_array_mut().unwrap());
    }
    let mut answers = answers.into_iter();
    let merged: Vec<Value> = items
        .into_iter()
        .map(
            |(action, is_rejected)| {
                if is_rejected { json!({ action: error(429) }) } else { answers.next().unwrap() }
            },
        )
        .collect();
    (200, json!({ "errors": true, "items": merged }).to_string().into())
}
