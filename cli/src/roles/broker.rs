//! The broker that is configured: the embedded queue of the data directory, or Redis.

use std::{path::Path, sync::Arc};

use rastro_broker::{
    Broker, RedisBroker, RedisConfig,
    embedded::{EmbeddedBroker, EmbeddedConfig, QueueState},
    redis::Secret,
};

use super::patience::patiently;
use crate::{commands::Context, config::Config};

/// An opened broker.
pub(super) struct OpenedBroker {
    /// The broker.
    pub(super) broker: Arc<dyn Broker>,
    /// The same, if it is Redis: it wants to be closed.
    pub(super) redis: Option<Arc<RedisBroker>>,
    /// What was found of an embedded queue; one in Redis counts as sound.
    pub(super) queue: QueueState,
}

/// Opens the broker that is configured.
pub(super) async fn open(context: &Context) -> anyhow::Result<OpenedBroker> {
    let config = &context.config;
    if config.broker.urls.is_empty() {
        let path = context.data_dir.queue();
        let queue = EmbeddedConfig { limit_bytes: config.broker.limit_bytes.0, ..EmbeddedConfig::default() };
        let opened = tokio::task::spawn_blocking(move || EmbeddedBroker::open(&path, &queue)).await??;
        return Ok(OpenedBroker { broker: Arc::new(opened.broker), redis: None, queue: opened.state });
    }
    let redis = patiently(
        "redis",
        async || RedisBroker::connect(redis_config(config)).await,
        rastro_broker::RedisError::is_transient,
    );
    let redis = Arc::new(redis.await?);
    Ok(OpenedBroker {
        broker: Arc::clone(&redis) as Arc<dyn Broker>,
        redis: Some(redis),
        queue: QueueState::Sound,
    })
}

/// How to reach Redis.
pub(crate) fn redis_config(config: &Config) -> RedisConfig {
    let broker = &config.broker;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let path = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
    RedisConfig {
        addresses: broker.urls.clone(),
        sentinel_master: text(&broker.sentinel_master),
        username: text(&broker.username),
        password: text(&broker.password).map(Secret::new),
        password_file: path(&broker.password_file),
        ca_file: path(&broker.ca_file),
        prefix: broker.prefix.clone(),
        consumer: config.node(),
        partitions: broker.partitions,
        limit_bytes: broker.limit_bytes.0,
        ..RedisConfig::default()
    }
}
