//! The store that is configured: the embedded one of the data directory, or Elasticsearch.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rastro_store::{
    Store, StoreError,
    elastic::{ElasticConfig, ElasticStore, Secret},
    embedded::{EmbeddedConfig, EmbeddedStore},
};

use super::patience::patiently;
use crate::{
    config::{Config, Roll},
    data_dir::DataDir,
};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To look. Works beside roles that run.
    Read,
    /// To change something of what is there, such as profiles and scores. Works beside roles that run.
    Change,
    /// To change something that may be the first thing in it: it is made if it is not there.
    Make,
    /// To fill it, as a role: it is made if it is not there, and a server that does not answer is waited for.
    Fill,
}

/// Opens the store that is configured.
pub(crate) async fn open(
    config: &Config,
    data_dir: &DataDir,
    access: Access,
) -> anyhow::Result<Arc<dyn Store>> {
    if config.store.is_embedded() {
        return embedded(config, data_dir.clone(), access).await;
    }
    let connect = async || ElasticStore::connect(elastic_config(config)).await;
    let store = match access {
        Access::Read | Access::Change | Access::Make => connect().await?,
        Access::Fill => patiently("elasticsearch", connect, StoreError::is_transient).await?,
    };
    Ok(Arc::new(store))
}

async fn embedded(config: &Config, data_dir: DataDir, access: Access) -> anyhow::Result<Arc<dyn Store>> {
    let path = data_dir.store();
    if access == Access::Make {
        data_dir.create()?;
    }
    if matches!(access, Access::Read | Access::Change)
        && !path.try_exists().with_context(|| format!("cannot look for `{}`", path.display()))?
    {
        bail!(
            "nothing is stored in `{}` yet: `rastro replay FILE` or `rastro run` fills it (another folder: --data-dir)",
            data_dir.root().display()
        );
    }
    let settings = EmbeddedConfig { roll: roll(config), ..EmbeddedConfig::default() };
    let opened = tokio::task::spawn_blocking(move || match access {
        Access::Read => EmbeddedStore::open_read_only(&path),
        Access::Change | Access::Make | Access::Fill => EmbeddedStore::open_with(&path, &settings),
    });
    Ok(Arc::new(opened.await??))
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
        roll: roll(config),
        bulk_bytes: store.bulk_bytes.0 as usize,
        bulk_concurrency: store.bulk_concurrency,
        compress: store.compress,
        replicas: store.replicas,
        ..ElasticConfig::default()
    }
}

fn roll(config: &Config) -> rastro_store::Roll {
    match config.roll() {
        Roll::ByTime(_) => rastro_store::Roll::ByTime,
        Roll::Documents(documents) => rastro_store::Roll::Documents(documents),
    }
}
