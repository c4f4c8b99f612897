//! Roles on their parts: opened, started, drained and stopped in the right order.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use rastro_broker::{Broker, embedded::QueueState};
use rastro_shipper::{Checkpoint, Shipper, ShipperConfig, ShipperHandle, stream_id};
use rastro_store::{Retention, Store};
use rastro_transformer::{Documents, KeepArguments, TransformerConfig, role::RoleConfig};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Roles, agent,
    analyzer::{self, AnalyzerHandle},
    broker, conservation, retention,
    store::{self, Access},
};
use crate::{
    commands::Context,
    config::{self, Config, Document},
    observe::{Health, RoleState, Server},
};

type Ended = (&'static str, anyhow::Result<()>);

/// Roles at work.
pub(crate) struct Pipeline {
    /// Where everything ends up; a shipper has none.
    store: Option<Arc<dyn Store>>,
    /// The queue; an analyzer has none.
    broker: Option<Arc<dyn Broker>>,
    shipper: Option<ShipperHandle>,
    analyzer: Option<AnalyzerHandle>,
    tasks: JoinSet<Ended>,
    health: Health,
    server: Option<Server>,
    shutdown: CancellationToken,
    include: Vec<String>,
}

impl Pipeline {
    /// Opens the parts and starts `roles` on the configured log files.
    pub(crate) async fn start(context: &Context, roles: Roles) -> anyhow::Result<Self> {
        let config = &context.config;
        let include = if config.shipper.include.is_empty() {
            vec![glob_of(config.log_dir())?]
        } else {
            config.shipper.include.clone()
        };
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let server = Server::start(&config.observability, health.clone(), shutdown.clone()).await?;
        Self::start_on(context, roles, include, server, health, shutdown).await
    }

    /// The same for a recording, whose log files `include` matches.
    pub(crate) async fn start_replay(
        context: &Context,
        roles: Roles,
        include: Vec<String>,
    ) -> anyhow::Result<Self> {
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let server =
            Server::start_if_free(&context.config.observability, health.clone(), shutdown.clone()).await?;
        Self::start_on(context, roles, include, server, health, shutdown).await
    }

    async fn start_on(
        context: &Context,
        roles: Roles,
        include: Vec<String>,
        server: Option<Server>,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let config = &context.config;
        // Each process opens what its roles need, and no more: a node that ships to Redis has no way to the store.
        let store = if roles.needs_store() {
            Some(store::open(config, &context.data_dir, Access::Fill).await?)
        } else {
            None
        };
        let mut queue = QueueState::Sound;
        let mut broker = None;
        if roles.needs_broker() {
            let opened = broker::open(context, roles).await?;
            (broker, queue) = (Some(opened.broker), opened.queue);
        }

        let mut pipeline = Self {
            store,
            broker,
            shipper: None,
            analyzer: None,
            tasks: JoinSet::new(),
            health,
            server,
            shutdown,
            include,
        };
        if roles.shipper {
            pipeline.start_shipper(context, &queue).await?;
        }
        if roles.transformer {
            pipeline.start_transformer(config)?;
            let policy = Retention {
                max_age: config.store.retention.max_age().map_err(anyhow::Error::msg)?,
                max_bytes: config.store.retention.max_bytes().map_err(anyhow::Error::msg)?,
            };
            tokio::spawn(retention::keep(pipeline.store()?, policy, pipeline.shutdown.clone()));
        }
        if roles.analyzer {
            let (handle, role) = analyzer::role(pipeline.store()?, config, pipeline.shutdown.clone())?;
            pipeline.analyzer = Some(handle);
            pipeline.spawn("analyzer", role);
        }
        if roles.agent {
            pipeline.spawn(
                "agent",
                agent::run(config.clone(), context.data_dir.clone(), pipeline.shutdown.clone()),
            );
        }
        if pipeline.server.is_some() {
            let (store, broker) = (pipeline.store.clone(), pipeline.broker.clone());
            let interval =
                if config.store.is_embedded() { conservation::OF_FILE } else { conservation::OF_SERVER };
            tokio::spawn(conservation::watch(store, broker, interval, pipeline.shutdown.clone()));
        }
        Ok(pipeline)
    }

    /// Where everything ends up.
    pub(crate) fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        self.store
            .clone()
            .context("these roles work without the store; this is a fault in Rastro, please report it")
    }

    fn broker(&self) -> anyhow::Result<Arc<dyn Broker>> {
        self.broker
            .clone()
            .context("these roles work without the queue; this is a fault in Rastro, please report it")
    }

    fn spawn(&mut self, role: &'static str, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let health = self.health.clone();
        health.set(role, RoleState::Ready);
        self.tasks.spawn(async move {
            let outcome = work.await;
            health.set(
                role,
                match &outcome {
                    Ok(()) => RoleState::Stopped,
                    Err(error) => RoleState::Failed { reason: format!("{error:#}") },
                },
            );
            (role, outcome)
        });
    }

    async fn start_shipper(&mut self, context: &Context, queue: &QueueState) -> anyhow::Result<()> {
        let config = &context.config;
        let state_dir = context.data_dir.shipper();
        let mut shipper = Shipper::new(
            ShipperConfig {
                include: self.include.clone(),
                exclude: config.shipper.exclude.clone(),
                node: config.node(),
                state_dir: state_dir.clone(),
                max_line_bytes: config.shipper.max_line_bytes.0 as usize,
                chunk_bytes: config.shipper.chunk_bytes.0 as usize,
                flush_interval: config.shipper.flush_interval,
                poll_interval: config.shipper.poll_interval,
                ..ShipperConfig::default()
            },
            self.broker()?,
        )?;
        if !matches!(queue, QueueState::Sound) {
            // The queue is new, so it knows no stream. What the shipper had handed over may have gone with the old one: what the
            // store holds is what is left to go by.
            if let QueueState::Quarantined(aside) = queue {
                tracing::error!(aside = %aside.display(), "the queue was damaged; what it held is shipped again from the log files");
            }
            let store = match &self.store {
                Some(store) => Arc::clone(store),
                None => store::open(config, &context.data_dir, Access::Fill).await?,
            };
            let mut stored = HashMap::new();
            let checkpoint = Checkpoint::load(&state_dir)?;
            for record in &checkpoint.streams {
                let stream = stream_id(&checkpoint.node, &record.path);
                if let Some(end) = store.stream_end(stream).await? {
                    stored.insert(stream, end);
                }
            }
            shipper = shipper.rewind(stored);
        }
        self.shipper = Some(shipper.handle());
        let shutdown = self.shutdown.clone();
        self.spawn("shipper", async move {
            shipper.run(shutdown.cancelled_owned()).await.context("shipper")?;
            Ok(())
        });
        Ok(())
    }

    fn start_transformer(&mut self, config: &Config) -> anyhow::Result<()> {
        let format = config::format_of(&config.transformer.format)?;
        let asked = |document| config.transformer.documents.contains(&document);
        let transformer = TransformerConfig {
            rollup_interval: config.transformer.rollup_interval,
            rollups: asked(Document::Rollup),
            documents: Documents {
                calls: asked(Document::Call),
                numbers_as_strings: config.compat.numbers_as_strings,
                windows: if asked(Document::Window) {
                    config.transformer.windows.clone()
                } else {
                    Vec::new()
                },
            },
            index_names: config.roll().index_names(),
            keep_arguments: match config.transformer.keep_arguments {
                config::KeepArguments::Relevant => KeepArguments::Relevant,
                config::KeepArguments::All => KeepArguments::All,
                config::KeepArguments::None => KeepArguments::None,
            },
            ..TransformerConfig::new(format, config.dataset.name.clone())
        };
        let settings = RoleConfig::new(transformer);
        let (broker, store) = (self.broker()?, self.store()?);
        let shutdown = self.shutdown.clone();
        self.spawn("transformer", async move {
            rastro_transformer::role::run(broker, store, settings, shutdown).await.context("transformer")
        });
        Ok(())
    }

    /// What the shipper follows.
    pub(crate) fn include(&self) -> &[String] {
        &self.include
    }

    /// Waits for a role to fail; the others work on until [`Pipeline::stop`].
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        failure(&mut self.tasks).await
    }

    /// Waits until everything in the log files is in the queue.
    pub(crate) async fn shipped(&mut self) -> anyhow::Result<()> {
        let shipper = self.shipper.clone();
        let work = async {
            if let Some(shipper) = shipper {
                shipper.drain().await?;
            }
            Ok(())
        };
        tokio::select! {
            outcome = work => outcome,
            failure = failure(&mut self.tasks) => Err(failure),
        }
    }

    /// Waits until everything in the log files is stored and scored.
    pub(crate) async fn drained(&mut self) -> anyhow::Result<()> {
        self.shipped().await?;
        let (broker, analyzer) = (self.broker()?, self.analyzer.clone());
        let work = async {
            while broker.depth().await?.chunks > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if let Some(analyzer) = analyzer {
                analyzer.caught_up().await?;
            }
            Ok(())
        };
        tokio::select! {
            outcome = work => outcome,
            failure = failure(&mut self.tasks) => Err(failure),
        }
    }

    /// Tells the roles to finish what they have in hand, and waits for them.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((role, Err(error))) => {
                    tracing::error!(role, error = %format!("{error:#}"), "ended with an error");
                }
                Err(error) => tracing::error!(%error, "a role has panicked"),
            }
        }
        if let Some(broker) = &self.broker {
            broker.close().await;
        }
        if let Some(server) = self.server.take() {
            server.finish().await;
        }
    }
}

async fn failure(tasks: &mut JoinSet<Ended>) -> anyhow::Error {
    loop {
        match tasks.join_next().await {
            Some(Ok((_, Ok(())))) => {}
            Some(Ok((role, Err(error)))) => return error.context(format!("the role `{role}` has failed")),
            Some(Err(error)) => return anyhow!(error).context("a role has panicked"),
            None => std::future::pending().await,
        }
    }
}

/// The log files of a folder, as a glob.
pub(crate) fn glob_of(folder: PathBuf) -> anyhow::Result<String> {
    let folder = std::path::absolute(folder)?;
    let folder = folder.to_str().with_context(|| {
        format!("the folder `{}` is not UTF-8: name the files by `shipper.include`", folder.display())
    })?;
    let mut glob = String::new();
    for character in folder.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            glob.push('\\');
        }
        glob.push(character);
    }
    Ok(glob + "/*.log")
}
