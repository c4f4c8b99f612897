//! The broker that is configured: the embedded queue of the data directory, Redis, or a list in Redis.

use std::{path::Path, sync::Arc};

use anyhow::bail;
use rastro_broker::{
    Broker, ListBroker, ListConfig, RedisBroker, RedisConfig, RedisError,
    embedded::{EmbeddedBroker, EmbeddedConfig, QueueState},
    redis::Secret,
};

use super::{Roles, patience::patiently};
use crate::{
    commands::Context,
    config::{Config, QueueForm},
};

/// An opened broker.
pub(super) struct OpenedBroker {
    /// The broker.
    pub(super) broker: Arc<dyn Broker>,
    /// What was found of an embedded queue; one in Redis counts as sound.
    pub(super) queue: QueueState,
}

/// Opens the broker that is configured for `roles`.
pub(super) async fn open(context: &Context, roles: Roles) -> anyhow::Result<OpenedBroker> {
    let config = &context.config;
    let form = form_for(config, roles)?;
    if config.broker.urls.is_empty() {
        let path = context.data_dir.queue();
        let queue = EmbeddedConfig { limit_bytes: config.broker.limit_bytes.0, ..EmbeddedConfig::default() };
        let opened = tokio::task::spawn_blocking(move || EmbeddedBroker::open(&path, &queue)).await??;
        return Ok(OpenedBroker { broker: Arc::new(opened.broker), queue: opened.state });
    }
    let broker = patiently(
        "redis",
        async || {
            Ok::<Arc<dyn Broker>, RedisError>(match form {
                QueueForm::Stream => Arc::new(RedisBroker::connect(redis_config(config)).await?),
                QueueForm::List => Arc::new(ListBroker::connect(list_config(config)).await?),
            })
        },
        RedisError::is_transient,
    );
    Ok(OpenedBroker { broker: broker.await?, queue: QueueState::Sound })
}

/// Roles of one process share one broker.
fn form_for(config: &Config, roles: Roles) -> anyhow::Result<QueueForm> {
    let (output, input) = (config.shipper.output, config.transformer.input);
    match (roles.shipper, roles.transformer) {
        (true, true) if output != input => bail!(
            "`shipper.output` and `transformer.input` differ: in one process both must be \"stream\" or both \"list\"; run `rastro shipper` and `rastro transformer` by themselves to have them differ"
        ),
        (true, _) => Ok(output),
        (false, true) => Ok(input),
        (false, false) => Ok(QueueForm::Stream),
    }
}

/// How to reach the list.
fn list_config(config: &Config) -> ListConfig {
    ListConfig {
        redis: redis_config(config),
        key: config.broker.list_key.clone(),
        node: config.node(),
        limit_documents: config.broker.list_limit,
    }
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
