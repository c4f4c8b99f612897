//! The whole pipeline as separate processes, each with a folder of its own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    clock::{self, Clock},
    disk::Disk,
    plan::Target,
    process::Process,
    proxy::Proxy,
    servers::{self, Account, Distribution, Server},
    writer::{Load, Places},
};

/// Size of the disk of the shipper's checkpoint, MiB.
const SHIPPER_DISK: u32 = 8;

/// Size of the disk of Redis' append-only file, MiB.
const REDIS_DISK: u32 = 512;

/// What a rig is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The `rastro` binary.
    pub rastro: PathBuf,
    /// This program, which is also the writer.
    pub writer: PathBuf,
    /// Where everything lies; must be reachable by `account`.
    pub folder: PathBuf,
    /// Who the servers run as.
    pub account: Option<Account>,
    /// Without it, transformer and analyzer are one process on the embedded store.
    pub elasticsearch: Option<Distribution>,
    /// Transformers and analyzers, so many of each.
    pub each: u8,
    /// Whether proxies stand before the servers, small disks are mounted and clocks can be set. Without it nothing slows the pipeline.
    pub faulty: bool,
    /// More `--set` for all roles.
    pub settings: Vec<String>,
}

/// A server and what stands before it.
pub struct Proxied {
    /// The server.
    pub server: Server,
    /// Where the roles connect to.
    pub proxy: Proxy,
}

impl Proxied {
    fn port(&self, is_proxied: bool) -> u16 {
        if is_proxied { self.proxy.port() } else { self.server.port }
    }
}

/// The pipeline.
pub struct Rig {
    /// What it is made of.
    pub parts: Parts,
    /// Where the writer writes.
    pub places: Places,
    /// The queue.
    pub redis: Proxied,
    /// The store, where it is a server.
    pub elasticsearch: Option<Proxied>,
    /// Agent, shipper, transformers, analyzers.
    pub roles: BTreeMap<Target, Process>,
    /// The disk of Redis and of the shipper.
    pub disks: BTreeMap<Target, Disk>,
    /// The clocks of the roles, where they can be set.
    pub clocks: BTreeMap<Target, Clock>,
}

impl Rig {
    /// Makes everything; nothing runs yet.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let folder = &parts.folder;
        fs::create_dir_all(folder.join("logs"))
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        let mut disks = BTreeMap::new();
        if parts.faulty {
            disks.insert(Target::Shipper, Disk::mount(&folder.join("shipper"), SHIPPER_DISK)?);
            disks.insert(Target::Redis, Disk::mount(&folder.join("redis-data"), REDIS_DISK)?);
        }
        let redis = servers::redis(&folder.join("redis"), &folder.join("redis-data"), parts.account)?;
        let redis = Proxied { proxy: Proxy::start(redis.port)?, server: redis };
        let elasticsearch = match &parts.elasticsearch {
            Some(distribution) => {
                let server =
                    servers::elasticsearch(&folder.join("elasticsearch"), distribution, parts.account)?;
                Some(Proxied { proxy: Proxy::start(server.port)?, server })
            }
            None => None,
        };
        let places = Places {
            logs: folder.join("logs"),
            shipper: folder.join("shipper/shipper"),
            stop: folder.join("stop"),
            counts: folder.join("counts.json"),
        };
        let mut rig = Self {
            parts,
            places,
            redis,
            elasticsearch,
            roles: BTreeMap::new(),
            disks,
            clocks: BTreeMap::new(),
        };
        rig.add_roles()?;
        Ok(rig)
    }

    fn add_roles(&mut self) -> anyhow::Result<()> {
        self.add_role(Target::Shipper, "shipper")?;
        if self.elasticsearch.is_none() {
            return self.add_role(Target::Transformer(0), "run");
        }
        for number in 0..self.parts.each {
            self.add_role(Target::Transformer(number), "transformer")?;
            self.add_role(Target::Analyzer(number), "analyzer")?;
        }
        Ok(())
    }

    fn add_role(&mut self, target: Target, role: &'static str) -> anyhow::Result<()> {
        let name = target.to_string();
        let folder = &self.parts.folder;
        let library = clock::library().filter(|_| self.parts.faulty);
        if library.is_some() {
            self.clocks.insert(target, Clock::new(&folder.join(format!("{name}.clock")))?);
        }
        let clock = self.clocks.get(&target).cloned().zip(library);
        let mut settings = self.parts.settings.clone();
        settings.extend([
            format!("node={name:?}"),
            format!("broker.urls=[\"redis://127.0.0.1:{}\"]", self.redis.port(self.parts.faulty)),
            "observability.enabled=false".to_owned(),
        ]);
        if target == Target::Shipper {
            settings.push(format!("shipper.include=[\"{}/*.log\"]", self.places.logs.display()));
        }
        if let Some(store) = &self.elasticsearch {
            settings.push(format!("store.urls=[\"http://127.0.0.1:{}\"]", store.port(self.parts.faulty)));
            settings.push("store.username=\"elastic\"".to_owned());
        }
        let data_dir = folder.join(&name);
        let rastro = self.parts.rastro.clone();
        let broker_password = self.redis.server.password.clone();
        let store_password = self.elasticsearch.as_ref().map(|store| store.server.password.clone());
        let log = folder.join(format!("{name}.log"));
        let process = Process::new(&name, &log, move || {
            let mut command = servers::command_as(None, &rastro);
            command.arg("--data-dir").arg(&data_dir).arg(role);
            for setting in &settings {
                command.args(["--set", setting]);
            }
            command.env_remove("RASTRO_CONFIG").env("RASTRO_BROKER__PASSWORD", &broker_password);
            if let Some(password) = &store_password {
                command.env("RASTRO_STORE__PASSWORD", password);
            }
            if let Some((clock, library)) = &clock {
                clock.give(&mut command, library);
            }
            command
        });
        self.roles.insert(target, process);
        Ok(())
    }

    /// Ends the roles and makes them anew with other settings.
    pub fn configure(&mut self, settings: Vec<String>) -> anyhow::Result<()> {
        self.stop_roles();
        self.parts.settings = settings;
        self.roles.clear();
        self.add_roles()
    }

    /// A command of `rastro` that asks the store.
    pub fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.parts.rastro);
        command.args(arguments).arg("--data-dir").arg(self.parts.folder.join("client"));
        if let Some(store) = &self.elasticsearch {
            let url = format!("store.urls=[\"http://127.0.0.1:{}\"]", store.server.port);
            command.args(["--set", &url, "--set", "store.username=\"elastic\""]);
            command.env("RASTRO_STORE__PASSWORD", &store.server.password);
        }
        command
    }

    /// Starts the servers and waits until they answer.
    pub fn start_servers(&mut self) -> anyhow::Result<()> {
        self.redis.server.process.start()?;
        if let Some(store) = &mut self.elasticsearch {
            store.server.process.start()?;
            store.server.wait_for_elasticsearch()?;
        }
        self.redis.server.wait_for_port()
    }

    /// Starts every role that does not run.
    pub fn start_roles(&mut self) -> anyhow::Result<()> {
        self.roles.values_mut().try_for_each(Process::start)
    }

    /// Starts the writer of `load`.
    pub fn start_agent(&mut self, load: &Load) -> anyhow::Result<()> {
        let file = self.parts.folder.join("load.json");
        fs::write(&file, serde_json::to_vec_pretty(load)?)?;
        let (program, places) = (self.parts.writer.clone(), self.places.clone());
        let log = self.parts.folder.join("agent.log");
        let mut process = Process::new("agent", &log, move || {
            let mut command = servers::command_as(None, &program);
            command.arg("write").arg("--load").arg(&file).arg("--logs").arg(&places.logs);
            command.arg("--shipper").arg(&places.shipper).arg("--stop").arg(&places.stop);
            command.arg("--counts").arg(&places.counts);
            command
        });
        process.start()?;
        self.roles.insert(Target::Agent, process);
        Ok(())
    }

    /// The process of a target.
    pub fn process(&mut self, target: Target) -> Option<&mut Process> {
        match target {
            Target::Redis => Some(&mut self.redis.server.process),
            Target::Elasticsearch => self.elasticsearch.as_mut().map(|store| &mut store.server.process),
            role => self.roles.get_mut(&role),
        }
    }

    /// What stands before a server.
    pub fn proxy(&self, target: Target) -> Option<&Proxy> {
        match target {
            Target::Redis => Some(&self.redis.proxy),
            Target::Elasticsearch => self.elasticsearch.as_ref().map(|store| &store.proxy),
            _ => None,
        }
    }

    /// Everybody who has a process.
    pub fn targets(&self) -> Vec<Target> {
        let mut targets: Vec<Target> = self.roles.keys().copied().collect();
        targets.push(Target::Redis);
        if self.elasticsearch.is_some() {
            targets.push(Target::Elasticsearch);
        }
        targets
    }

    /// Tells the writer to end and waits for its counts.
    pub fn stop_agent(&mut self, limit: Duration) -> anyhow::Result<BTreeMap<String, u64>> {
        fs::write(&self.places.stop, "")?;
        self.wait_for_agent(limit)
    }

    /// Waits until the writer has left its counts.
    pub fn wait_for_agent(&mut self, limit: Duration) -> anyhow::Result<BTreeMap<String, u64>> {
        let begun = std::time::Instant::now();
        loop {
            if let Ok(text) = fs::read(&self.places.counts) {
                if let Some(mut agent) = self.roles.remove(&Target::Agent) {
                    agent.stop();
                }
                return Ok(serde_json::from_slice(&text)?);
            }
            if begun.elapsed() > limit {
                let said = self.roles.get(&Target::Agent).map(Process::last_words).unwrap_or_default();
                anyhow::bail!("the writer does not end: {said}");
            }
            if let Some(agent) = self.roles.get_mut(&Target::Agent)
                && !agent.is_running()
                && !self.places.counts.exists()
            {
                agent.start()?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks all roles to end; returns those that did not end well.
    pub fn stop_roles(&mut self) -> Vec<String> {
        let mut unwilling = Vec::new();
        for process in self.roles.values_mut() {
            if process.is_running() && !process.stop() {
                unwilling.push(format!("{}: {}", process.name(), process.last_words()));
            }
        }
        unwilling
    }

    /// The embedded store's file.
    pub fn embedded_store(&self) -> PathBuf {
        self.parts.folder.join(Target::Transformer(0).to_string()).join("store/rastro.db")
    }
}

/// Removes a folder on which nothing is mounted any more.
pub fn remove(folder: &Path) {
    // A process that was killed a moment ago may still be leaving.
    for _ in 0..20 {
        if fs::remove_dir_all(folder).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
