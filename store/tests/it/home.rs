//! The two homes of a store, so that one test can be held in both.
//!
//! Elasticsearch is the one that `cargo xtask services up elasticsearch` started, or the one that `RASTRO_SERVICES` tells of. Every test
//! has names of its own there, and removes what bears them. Without a server the tests say so and pass; where CI says that it runs,
//! that is a failure.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use elasticsearch::{
    auth::Credentials,
    cert::CertificateValidation,
    http::{
        Method, Url,
        headers::{CONTENT_TYPE, HeaderMap, HeaderValue},
        transport::{SingleNodeConnectionPool, Transport, TransportBuilder},
    },
};
use rastro_model::Segment;
use rastro_store::{
    ChunkOutput, Roll, Store,
    elastic::{ElasticConfig, ElasticStore, Secret},
    embedded::{EmbeddedConfig, EmbeddedStore},
};
use serde_json::Value;

use crate::{chunk_of, segment_of, store_path};

/// Where a test's store lives, and the names that it uses there.
pub(crate) struct Home {
    place: Place,
    tag: String,
}

enum Place {
    Embedded(tempfile::TempDir),
    Elastic(Server),
}

impl Home {
    pub(crate) fn embedded() -> Self {
        Self { place: Place::Embedded(tempfile::tempdir().unwrap()), tag: String::new() }
    }

    pub(crate) fn elastic() -> Option<Self> {
        Server::find().map(Self::on)
    }

    /// On a server of the test's own.
    pub(crate) fn on(server: Server) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let tag = format!("t{}n{}-", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { place: Place::Elastic(server), tag }
    }

    pub(crate) const fn is_embedded(&self) -> bool {
        matches!(self.place, Place::Embedded(_))
    }

    pub(crate) fn server(&self) -> &Server {
        match &self.place {
            Place::Elastic(server) => server,
            Place::Embedded(_) => panic!("the embedded store has no server"),
        }
    }

    /// How to reach the server, under names of the test's own.
    pub(crate) fn config(&self) -> ElasticConfig {
        ElasticConfig { prefix: format!("{}rastro", self.tag), ..self.server().config() }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        self.open_rolling(Roll::ByTime).await
    }

    pub(crate) async fn open_rolling(&self, roll: Roll) -> Arc<dyn Store> {
        match &self.place {
            Place::Embedded(directory) => {
                let config = EmbeddedConfig { roll, ..EmbeddedConfig::default() };
                Arc::new(EmbeddedStore::open_with(&store_path(directory.path()), &config).unwrap())
            }
            Place::Elastic(_) => {
                Arc::new(ElasticStore::connect(ElasticConfig { roll, ..self.config() }).await.unwrap())
            }
        }
    }

    pub(crate) async fn open_elastic(&self) -> ElasticStore {
        ElasticStore::connect(self.config()).await.unwrap()
    }

    /// Name of the dataset that the test writes.
    pub(crate) fn dataset(&self) -> String {
        self.named("shop")
    }

    /// A name that no other test uses.
    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.tag)
    }

    /// Index of the dataset that the test writes.
    pub(crate) fn index(&self) -> String {
        format!("{}-2022.03.31", self.dataset())
    }

    pub(crate) fn segment(&self, stream: u64, from: u64, to: u64) -> Segment {
        segment_of(&self.dataset(), stream, from, to)
    }

    pub(crate) fn chunk(&self, stream: u64, from: u64, to: u64) -> ChunkOutput {
        chunk_of(&self.dataset(), stream, from, to)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let Place::Elastic(server) = &self.place else { return };
        let (server, tag) = (server.clone(), self.tag.clone());
        // A test that panics has left its runtime.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(server.remove(&tag));
        })
        .join();
    }
}

/// A running Elasticsearch.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    user: String,
    password: String,
    transport: Transport,
}

impl Server {
    fn find() -> Option<Self> {
        let path = std::env::var_os("RASTRO_SERVICES").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/services/services.json"),
            PathBuf::from,
        );
        let found = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .and_then(|services| Self::of(&services["elasticsearch"]))
            .filter(|server| std::net::TcpStream::connect(server.address()).is_ok());
        if found.is_none() {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs Elasticsearch: run `cargo xtask services up elasticsearch`"
            );
            eprintln!("skipped: no Elasticsearch runs (`cargo xtask services up elasticsearch` starts one)");
        }
        found
    }

    fn of(service: &Value) -> Option<Self> {
        let url = service["url"].as_str()?.to_owned();
        let user = service["user"].as_str()?.to_owned();
        let password =
            std::fs::read_to_string(service["password_file"].as_str()?).ok()?.trim_end().to_owned();
        let transport = TransportBuilder::new(SingleNodeConnectionPool::new(Url::parse(&url).ok()?))
            .auth(Credentials::Basic(user.clone(), password.clone()))
            .disable_proxy()
            .build()
            .ok()?;
        Some(Self { url, user, password, transport })
    }

    /// One that wants no password.
    pub(crate) fn open_to_all(url: &str) -> Self {
        let transport = TransportBuilder::new(SingleNodeConnectionPool::new(Url::parse(url).unwrap()))
            .cert_validation(CertificateValidation::None)
            .disable_proxy()
            .build()
            .unwrap();
        Self { url: url.to_owned(), user: String::new(), password: String::new(), transport }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    pub(crate) fn config(&self) -> ElasticConfig {
        ElasticConfig {
            urls: vec![self.url.clone()],
            username: self.user.clone(),
            password: (!self.password.is_empty()).then(|| Secret::new(self.password.clone())),
            request_timeout: Duration::from_mins(1),
            ..ElasticConfig::default()
        }
    }

    /// A request past the store: status and body.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.try_ask(method, path, body).await.unwrap()
    }

    /// The same, of a server that may be away.
    pub(crate) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), elasticsearch::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body.map(|body| body.to_string());
        let sent =
            self.transport.send(method, path, headers, None::<&()>, body, Some(Duration::from_mins(1)));
        let response = sent.await?;
        let status = response.status_code().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// A request as it came from elsewhere: status and body.
    pub(crate) async fn pass_on(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> (u16, Bytes) {
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => Method::Post,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        let body = (!body.is_empty()).then_some(body);
        let sent =
            self.transport.send(method, path, headers, None::<&()>, body, Some(Duration::from_mins(1)));
        let response = sent.await.unwrap();
        (response.status_code().as_u16(), response.bytes().await.unwrap())
    }

    /// Removes everything whose name begins with `tag`.
    async fn remove(&self, tag: &str) {
        let (_, indices) =
            self.ask(Method::Get, &format!("/_cat/indices/{tag}*?format=json&h=index"), None).await;
        let names: Vec<&str> =
            indices.as_array().into_iter().flatten().filter_map(|index| index["index"].as_str()).collect();
        for names in names.chunks(20) {
            self.ask(Method::Delete, &format!("/{}", names.join(",")), None).await;
        }
        self.ask(Method::Delete, &format!("/_index_template/{tag}*"), None).await;
    }
}

/// Holds tests, which are functions that take a [`Home`], in both homes.
macro_rules! in_both_homes {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&$crate::home::Home::embedded()).await;
                }
            )*
        }
        mod elastic {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(home) = $crate::home::Home::elastic() {
                        super::$name(&home).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use in_both_homes;
