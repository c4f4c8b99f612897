//! The pipeline across servers: Redis and Elasticsearch on this machine, beside rsyslog on the same file.

mod delay;
mod rescoring;
mod rsyslog;
mod shipping;
mod storing;

use std::{path::Path, thread, time::Duration};

use anyhow::{Context as _, bail};
use rastro_chaos::{
    plan::Target,
    rig::{Parts, Rig},
    servers::{Account, Distribution},
};
use serde_json::json;

use crate::{Settings, report::Report};

/// How often a server is asked how far it is, at most and at least: being asked is work for it, so a long wait is looked at less often.
const LOOK: Duration = Duration::from_millis(100);
const SELDOM_LOOK: Duration = Duration::from_millis(500);

type Part = fn(&mut Bench, &Settings, &mut Report) -> anyhow::Result<()>;

/// What is measured on the same servers, one after the other.
const PARTS: &[(&str, Part)] = &[
    ("shipping", shipping::run),
    ("segments", |bench, settings, report| {
        storing::segments(bench, settings, report)?;
        rescoring::run(bench, settings, report)
    }),
    ("calls", storing::calls),
    ("delay", delay::run),
];

/// What the servers are made of.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    /// Who they run as.
    pub(crate) account: Option<Account>,
    /// An unpacked Elasticsearch.
    pub(crate) elasticsearch: Distribution,
    /// The program that writes the load.
    pub(crate) writer: std::path::PathBuf,
    /// Where a folder for a run is made.
    pub(crate) folder: std::path::PathBuf,
}

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let Some(servers) = &settings.servers else {
        eprintln!("    skipped: that needs Redis and Elasticsearch, which `cargo xtask bench` installs");
        return Ok(());
    };
    let mut bench = Bench::start(settings, servers)?;
    let outcome = bench.all(settings, report);
    bench.end(outcome)
}

/// A pipeline whose parts are started as they are measured.
pub(crate) struct Bench {
    pub(crate) rig: Rig,
}

impl Bench {
    /// Starts the servers.
    pub(crate) fn start(settings: &Settings, servers: &Servers) -> anyhow::Result<Self> {
        let folder = servers.folder.join(format!("bench-{}", std::process::id()));
        let mut rig = Rig::new(Parts {
            rastro: settings.rastro.clone(),
            writer: servers.writer.clone(),
            folder,
            account: servers.account,
            elasticsearch: Some(servers.elasticsearch.clone()),
            each: 1,
            faulty: false,
            settings: Vec::new(),
        })?;
        rig.start_servers()?;
        Ok(Self { rig })
    }

    /// Ends everything; the folder stays if something failed.
    pub(crate) fn end(self, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        let folder = self.rig.parts.folder.clone();
        drop(self);
        match outcome {
            Ok(()) => rastro_chaos::rig::remove(&folder),
            Err(error) => {
                return Err(error.context(format!("everything lies in `{}`", folder.display())));
            }
        }
        Ok(())
    }

    fn all(&mut self, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
        for (name, measure) in PARTS.iter().filter(|(name, _)| name.contains(&settings.part)) {
            eprintln!("    {name}");
            measure(self, settings, report)?;
        }
        Ok(())
    }

    /// Ends the roles and takes away what they, the queue and the store remember: the next measurement begins with new files.
    pub(crate) fn clear(&mut self) -> anyhow::Result<()> {
        self.rig.stop_roles();
        self.rig.redis.server.ask_redis(&["FLUSHALL"])?;
        // Ledgers too: files of the same names are to be new ones.
        let rest = self.rig.elasticsearch.as_ref().context("no Elasticsearch")?.server.rest();
        let indices = rest.ask("GET", "/_cat/indices?format=json&h=index", None)?;
        for index in indices.as_array().into_iter().flatten().filter_map(|index| index["index"].as_str()) {
            rest.ask("DELETE", &format!("/{index}"), None)?;
        }
        for folder in [&self.rig.places.logs, &self.rig.parts.folder.join("shipper")] {
            if folder.exists() {
                std::fs::remove_dir_all(folder)?;
            }
        }
        for file in [&self.rig.places.stop, &self.rig.places.counts] {
            if file.exists() {
                std::fs::remove_file(file)?;
            }
        }
        std::fs::create_dir_all(&self.rig.places.logs).context("folder of the logs")
    }

    /// Starts these roles.
    pub(crate) fn start_roles(&mut self, targets: &[Target]) -> anyhow::Result<()> {
        targets.iter().try_for_each(|target| self.rig.process(*target).context("no such role")?.start())
    }

    /// Sum of a field, or number of documents, over indices.
    pub(crate) fn count(&self, indices: &str, sum_of: Option<&str>) -> anyhow::Result<u64> {
        let rest = self.rig.elasticsearch.as_ref().context("no Elasticsearch")?.server.rest();
        let none = "?ignore_unavailable=true&allow_no_indices=true";
        rest.ask("POST", &format!("/{indices}/_refresh{none}"), None)?;
        let Some(field) = sum_of else {
            let answer = rest.ask("GET", &format!("/{indices}/_count{none}"), None)?;
            return answer["count"].as_u64().context("no count");
        };
        let search = json!({"size": 0, "aggs": {"sum": {"sum": {"field": field}}}});
        let answer = rest.ask("POST", &format!("/{indices}/_search{none}"), Some(&search))?;
        Ok(answer["aggregations"]["sum"]["value"].as_f64().unwrap_or(0.0) as u64)
    }

    /// Waits until a count has come to `wanted`; a role that ends meanwhile is an error.
    pub(crate) fn wait(
        &mut self,
        wanted: u64,
        limit: Duration,
        count: impl Fn(&Self) -> anyhow::Result<u64>,
    ) -> anyhow::Result<()> {
        let begun = std::time::Instant::now();
        loop {
            let found = match count(self) {
                Ok(found) => found,
                // An index that is being made has no shard for a moment.
                Err(_) if begun.elapsed() < limit / 10 => 0,
                Err(error) => return Err(error),
            };
            if found == wanted {
                return Ok(());
            }
            if found > wanted {
                bail!("{found} of {wanted} arrived: more than there are");
            }
            if begun.elapsed() > limit {
                bail!("{found} of {wanted} arrived within {} s", limit.as_secs());
            }
            for target in self.rig.targets() {
                let Some(process) = self.rig.process(target) else { continue };
                let ended = process.unexpected_ends();
                if !process.is_running() && process.unexpected_ends() > ended {
                    bail!("{target} has ended: {}", process.last_words());
                }
            }
            thread::sleep((begun.elapsed() / 40).clamp(LOOK, SELDOM_LOOK));
        }
    }
}

/// Size of a folder's files, bytes.
pub(crate) fn size_of(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("`{}`", path.display()))?.len())
}
