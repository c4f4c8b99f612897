//! The store that is configured: the embedded one of the data directory, or Elasticsearch.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rastro_store::{
    Roll, Store,
    elastic::{ElasticConfig, ElasticStore, Secret},
    embedded::EmbeddedStore,
};

use crate::{
    config::{self, Config},
    data_dir::DataDir,
};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To look. Works beside roles that run.
    Read,
    /// To change something of what is there, such as profiles and scores. Works beside roles that run.
    Change,
    /// To fill it; it is made if it is not there.
    Fill,
}

/// Opens the store that is configured.
pub(crate) async fn open(
    config: &Config,
    data_dir: &DataDir,
    access: Access,
) -> anyhow::Result<Arc<dyn Store>> {
    if !config.store.is_embedded() {
        return Ok(Arc::new(ElasticStore::connect(elastic_config(config)).await?));
    }
    embedded(data_dir.clone(), access).await
}

/// How to reach Elasticsearch.
pub(crate) fn elastic_config(config: &Config) -> ElasticConfig {
    let store = &config.store;
    let path = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
    ElasticConfig {
        urls: store.urls.clone(),
        username: store.username.clone(),
        password: (!store.password.is_empty()).then(|| Secret::new(store.password.clone())),
        password_file: path(&store.password_file),
        api_key_file: path(&store.api_key_file),
        ca_file: path(&store.ca_file),
        prefix: store.prefix.clone(),
        roll: match config.roll() {
            config::Roll::ByTime(_) => Roll::ByTime,
            config::Roll::Documents(documents) => Roll::Documents(documents),
        },
        bulk_bytes: store.bulk_bytes.0 as usize,
        bulk_concurrency: store.bulk_concurrency,
        replicas: store.replicas,
        ..ElasticConfig::default()
    }
}

async fn embedded(data_dir: DataDir, access: Access) -> anyhow::Result<Arc<dyn Store>> {
    let path = data_dir.store();
    if access != Access::Fill
        && !path.try_exists().with_context(|| format!("cannot look for `{}`", path.display()))?
    {
        bail!(
            "nothing is stored in `{}` yet: `rastro replay FILE` or `rastro run` fills it (another folder: --data-dir)",
            data_dir.root().display()
        );
    }
    let opened = tokio::task::spawn_blocking(move || match access {
        Access::Read => EmbeddedStore::open_read_only(&path),
        Access::Change | Access::Fill => EmbeddedStore::open(&path),
    });
    Ok(Arc::new(opened.await??))
}
