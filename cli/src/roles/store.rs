//! The store that is configured: the embedded one of the data directory, or Elasticsearch.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use rastro_store::{Store, embedded::EmbeddedStore};

use crate::{config::Config, data_dir::DataDir};

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
        bail!("configuration key `store.urls`: this build has no Elasticsearch store; leave it empty");
    }
    embedded(data_dir.clone(), access).await
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
