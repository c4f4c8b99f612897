//! `cargo xtask services`: a Redis and an Elasticsearch of the project's own, for tests and benchmarks.
//!
//! Both run on loopback at free ports, as an ordinary user, with random passwords, and keep everything in `target/services/`. What
//! runs is told in `target/services/services.json` (see [`record::Running`]); tests read that, or the file that `RASTRO_SERVICES` names.
//! A server that these commands did not start is never touched: a process counts as theirs only if its number, the moment of its
//! start and the boot of the machine are the recorded ones.

mod account;
mod elasticsearch;
mod install;
mod probe;
mod record;
mod redis;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use crate::command::root;
use record::{Record, Running};

#[derive(Debug, Args)]
pub(crate) struct Services {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Install what is missing, start what does not run, and wait until it answers.
    Up {
        /// Which one [default: both].
        service: Option<Service>,
        /// Memory of Elasticsearch's heap.
        #[arg(long, default_value = "1g", value_name = "SIZE")]
        heap: String,
    },
    /// End what `up` has started. The data stays.
    Down {
        /// Which one [default: both].
        service: Option<Service>,
    },
    /// Say what runs, and where.
    Status {
        /// Prints one object: by service its url, port, pid, user, password file, and whether it is running.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Service {
    /// Redis 7.
    Redis,
    /// Elasticsearch 8.
    Elasticsearch,
}

impl Service {
    const ALL: [Self; 2] = [Self::Redis, Self::Elasticsearch];

    const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Elasticsearch => "elasticsearch",
        }
    }

    fn chosen(one: Option<Self>) -> Vec<Self> {
        one.map_or_else(|| Self::ALL.to_vec(), |one| vec![one])
    }
}

/// Where everything of the services lies. Not where cargo builds to: that may differ from one command to the next.
fn folder() -> PathBuf {
    root().join("target/services")
}

/// Sees to it that the tests find a real Redis to start; where it cannot be installed, those tests say so and pass.
pub(crate) fn provide_redis() {
    if let Err(error) = install::ensure("redis-server", &["redis-server"]) {
        eprintln!("==> tests of the Redis broker are skipped: {error:#}");
    }
}

/// An Elasticsearch that runs for as long as this is kept, unless it ran before.
pub(crate) struct ForTests {
    was_running: bool,
}

/// Starts the Elasticsearch that the tests share. Where it cannot be had, those tests say so.
pub(crate) fn elasticsearch_for_tests() -> Option<ForTests> {
    match start_for_tests() {
        Ok(server) => Some(server),
        Err(error) => {
            eprintln!("==> there is no Elasticsearch for the tests: {error:#}");
            None
        }
    }
}

fn start_for_tests() -> anyhow::Result<ForTests> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let _lock = lock(&folder)?;
    let mut record = Record::load(&folder)?;
    let was_running = record.get(Service::Elasticsearch.name()).is_some_and(Running::is_alive);
    up(Service::Elasticsearch, "1g", &mut record)?;
    Ok(ForTests { was_running })
}

impl Drop for ForTests {
    fn drop(&mut self) {
        if self.was_running {
            return;
        }
        let folder = folder();
        let ended = lock(&folder).and_then(|_lock| down(Service::Elasticsearch, &mut Record::load(&folder)?));
        if let Err(error) = ended {
            eprintln!(
                "==> Elasticsearch could not be ended: {error:#}; `cargo xtask services down` tries again"
            );
        }
    }
}

/// What is installed for those who run servers of their own.
pub(crate) struct Servers {
    /// User and group that the servers run as, if not as whoever runs this.
    pub(crate) account: Option<(u32, u32)>,
    /// Folder of an unpacked Elasticsearch, and of the Java that it runs on.
    pub(crate) elasticsearch: Option<(PathBuf, PathBuf)>,
}

/// Installs Redis and, if asked for, Elasticsearch; starts nothing.
pub(crate) fn provide_servers(with_elasticsearch: bool) -> anyhow::Result<Servers> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let _lock = lock(&folder)?;
    install::ensure("redis-server", &["redis-server"])?;
    if let Err(error) = install::ensure("faketime", &["faketime"]) {
        eprintln!("==> clocks cannot be made to jump: {error:#}");
    }
    let account = match account::Account::find()? {
        account::Account::Own => None,
        account::Account::Other { uid, gid } => Some((uid, gid)),
    };
    let elasticsearch = if with_elasticsearch { Some(elasticsearch::install(&folder)?) } else { None };
    Ok(Servers { account, elasticsearch })
}

/// Installs rsyslog with the outputs that it is measured by, where that may be done.
pub(crate) fn provide_rsyslog() {
    let packages = ["rsyslog", "rsyslog-hiredis", "rsyslog-elasticsearch"];
    let has_outputs = || {
        let listing = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
        listing.map(|path| path.join("rsyslog")).any(|path| path.join("omhiredis.so").is_file())
    };
    if !has_outputs()
        && let Err(error) = install::install(&packages)
    {
        eprintln!("==> rsyslog is left out: {error:#}");
    }
}

/// One command at a time: a second `up` waits for the first, and then finds everything running.
fn lock(folder: &Path) -> anyhow::Result<fs::File> {
    let path = folder.join("lock");
    let lock = fs::File::create(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
    lock.lock().with_context(|| format!("cannot lock `{}`", path.display()))?;
    Ok(lock)
}

pub(crate) fn run(services: &Services) -> anyhow::Result<()> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let _lock = lock(&folder)?;
    let mut record = Record::load(&folder)?;
    match &services.action {
        Action::Up { service, heap } => {
            for service in Service::chosen(*service) {
                up(service, heap, &mut record)?;
            }
        }
        Action::Down { service } => {
            for service in Service::chosen(*service) {
                down(service, &mut record)?;
            }
        }
        Action::Status { json } => status(*json, &record)?,
    }
    Ok(())
}

fn up(service: Service, heap: &str, record: &mut Record) -> anyhow::Result<()> {
    let name = service.name();
    if let Some(running) = record.get(name)
        && running.is_alive()
    {
        // Its `up` may have been interrupted while it waited.
        match service {
            Service::Redis => redis::wait(running)?,
            Service::Elasticsearch => elasticsearch::wait(running)?,
        }
        eprintln!("==> {name} runs already at {}", running.url);
        return Ok(());
    }
    eprintln!("==> {name}");
    match service {
        Service::Redis => redis::start(record)?,
        Service::Elasticsearch => elasticsearch::start(record, heap)?,
    }
    if let Some(running) = record.get(name) {
        eprintln!(
            "    {} as user `{}`, password in {}",
            running.url,
            running.user,
            running.password_file.display()
        );
    }
    Ok(())
}

fn down(service: Service, record: &mut Record) -> anyhow::Result<()> {
    let name = service.name();
    match record.get(name) {
        Some(running) if running.is_alive() => {
            eprintln!("==> {name}: ending process {}", running.pid);
            running.end()?;
        }
        _ => eprintln!("==> {name} does not run"),
    }
    record.remove(name)
}

fn status(json: bool, record: &Record) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&record.status())?);
        return Ok(());
    }
    for service in Service::ALL {
        match record.get(service.name()) {
            Some(running) if running.is_alive() => println!(
                "{:<14} {}  process {}, user {}, password in {}",
                service.name(),
                running.url,
                running.pid,
                running.user,
                running.password_file.display()
            ),
            Some(_) => println!("{:<14} has ended since it was started", service.name()),
            None => println!("{:<14} does not run", service.name()),
        }
    }
    Ok(())
}
