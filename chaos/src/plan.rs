//! Which faults happen when: a pure function of the seed and the length.
//!
//! Faults are drawn from a bag that holds every kind as often as its weight says; when the bag is empty it is filled anew. So even a
//! short run meets every kind, and a long one meets them all in many orders. A target is left alone until it had time to come back.

use std::{collections::HashMap, fmt, time::Duration};

use crate::random::Random;

/// What a fault is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// What writes the log files.
    Agent,
    /// The shipper.
    Shipper,
    /// One of the transformers.
    Transformer(u8),
    /// One of the analyzers.
    Analyzer(u8),
    /// The queue.
    Redis,
    /// The store.
    Elasticsearch,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Shipper => f.write_str("shipper"),
            Self::Transformer(number) => write!(f, "transformer-{number}"),
            Self::Analyzer(number) => write!(f, "analyzer-{number}"),
            Self::Redis => f.write_str("redis"),
            Self::Elasticsearch => f.write_str("elasticsearch"),
        }
    }
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL, and started again afterwards.
    Kill,
    /// SIGSTOP, and SIGCONT afterwards.
    Freeze,
    /// Connections to it are closed, and none are accepted until afterwards.
    Cut,
    /// What is sent to it and what it answers comes late.
    Delay,
    /// Connections to it stay open and nothing passes until afterwards.
    Stall,
    /// Its disk is full.
    FillDisk,
    /// Its indices are read-only, as Elasticsearch makes them when its disk is nearly full.
    ReadOnly,
    /// Its clock shows another time.
    JumpClock,
}

impl Kind {
    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::Delay => "delay",
            Self::Stall => "stall",
            Self::FillDisk => "fill-disk",
            Self::ReadOnly => "read-only",
            Self::JumpClock => "jump-clock",
        }
    }
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it begins, counted from the first moment of steady load.
    pub at: Duration,
    /// What is done.
    pub kind: Kind,
    /// To whom.
    pub target: Target,
    /// How long it lasts: afterwards what was taken is given back.
    pub lasts: Duration,
    /// By how much a clock jumps, in seconds; how late connections are, in milliseconds.
    pub by: i64,
}

/// What a run can do to its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// There is an Elasticsearch.
    pub elasticsearch: bool,
    /// Small disks may be made and filled.
    pub disks: bool,
    /// Clocks may be set.
    pub clocks: bool,
}

/// How many faults over how long a time.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// Number of faults.
    pub faults: usize,
    /// Time over which they are spread.
    pub time: Duration,
}

/// The form for every day.
pub const SHORT: Length = Length { faults: 15, time: Duration::from_secs(45) };

/// The form for the night.
pub const NIGHTLY: Length = Length { faults: 210, time: Duration::from_mins(21) };

/// Time that a killed Elasticsearch has to come back before anything else is done to it.
const RESTART_OF_ELASTICSEARCH: Duration = Duration::from_secs(40);

/// The faults of a seed, in the order of their times.
pub fn plan(seed: u64, length: Length, abilities: Abilities) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let kinds = kinds(abilities);
    let mut bag: Vec<(Kind, Target)> = Vec::new();
    let mut free_from: HashMap<Target, Duration> = HashMap::new();
    let mut faults = Vec::new();
    let step = length.time / (length.faults as u32).max(1);
    for number in 0..length.faults {
        // Evenly spread with a part left to chance, so that some faults meet and others do not.
        let at = step * number as u32 + random.time(Duration::ZERO, step.max(Duration::from_millis(1)));
        if bag.is_empty() {
            bag.clone_from(&kinds);
            random.shuffle(&mut bag);
        }
        let is_free = |target: &Target| free_from.get(target).is_none_or(|&from| from <= at);
        // Where everything in the bag is busy, the one that is free the soonest is taken all the same.
        let chosen = bag.iter().position(|(_, target)| is_free(target)).unwrap_or_else(|| {
            let soonest = (0..bag.len()).min_by_key(|&place| free_from.get(&bag[place].1).copied());
            soonest.unwrap_or(0)
        });
        let (kind, target) = bag.remove(chosen);
        let at = at.max(free_from.get(&target).copied().unwrap_or_default());
        let (lasts, by) = extent(kind, target, &mut random);
        let back = if (kind, target) == (Kind::Kill, Target::Elasticsearch) {
            RESTART_OF_ELASTICSEARCH
        } else {
            Duration::from_secs(1)
        };
        free_from.insert(target, at + lasts + back);
        faults.push(Fault { at, kind, target, lasts, by });
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Every kind with every target that it suits, as often as its weight.
fn kinds(abilities: Abilities) -> Vec<(Kind, Target)> {
    let mut roles = vec![Target::Agent, Target::Shipper, Target::Transformer(0)];
    if abilities.elasticsearch {
        // On the embedded store, the first transformer's process is also the only analyzer.
        roles.extend([Target::Transformer(1), Target::Analyzer(0), Target::Analyzer(1)]);
    }
    let mut kinds = Vec::new();
    for role in roles {
        kinds.push((Kind::Kill, role));
        kinds.push((Kind::Freeze, role));
        // The agent's clock decides nothing: what it writes holds the recording's times.
        if abilities.clocks && role != Target::Agent {
            kinds.push((Kind::JumpClock, role));
        }
    }
    let mut servers = vec![Target::Redis];
    if abilities.elasticsearch {
        servers.push(Target::Elasticsearch);
    }
    for server in servers {
        for kind in [Kind::Kill, Kind::Freeze, Kind::Cut, Kind::Delay, Kind::Stall] {
            kinds.push((kind, server));
        }
    }
    kinds.push((Kind::Kill, Target::Redis));
    if abilities.elasticsearch {
        kinds.push((Kind::ReadOnly, Target::Elasticsearch));
    }
    if abilities.disks {
        kinds.push((Kind::FillDisk, Target::Shipper));
        kinds.push((Kind::FillDisk, Target::Redis));
    }
    kinds
}

/// How long a fault lasts, and by how much.
fn extent(kind: Kind, target: Target, random: &mut Random) -> (Duration, i64) {
    let seconds = |least: f64, most: f64, random: &mut Random| {
        random.time(Duration::from_secs_f64(least), Duration::from_secs_f64(most))
    };
    match kind {
        Kind::Kill => (seconds(0.1, 2.0, random), 0),
        // Longer than a server waits before it calls a client dead, now and then.
        Kind::Freeze if matches!(target, Target::Transformer(_) | Target::Analyzer(_)) => {
            let is_long = random.below(4) == 0;
            (if is_long { seconds(8.0, 15.0, random) } else { seconds(0.3, 4.0, random) }, 0)
        }
        Kind::Freeze | Kind::Cut | Kind::Stall => (seconds(0.3, 5.0, random), 0),
        Kind::Delay => (seconds(1.0, 6.0, random), 20 + random.below(400) as i64),
        Kind::FillDisk | Kind::ReadOnly => (seconds(1.0, 5.0, random), 0),
        Kind::JumpClock => {
            let sizes = [5, 90, 3_600, 100_000];
            let size = sizes[random.below(sizes.len() as u64) as usize];
            let sign = if random.below(2) == 0 { 1 } else { -1 };
            (seconds(2.0, 8.0, random), sign * size)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ALL: Abilities = Abilities { elasticsearch: true, disks: true, clocks: true };

    fn length(faults: usize) -> Length {
        Length { faults, time: Duration::from_secs(faults as u64 * 5) }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_one_others() {
        assert_eq!(plan(7, length(200), ALL), plan(7, length(200), ALL));
        assert_ne!(plan(7, length(200), ALL), plan(8, length(200), ALL));
    }

    #[test]
    fn a_long_run_meets_every_kind_at_every_target() {
        let faults = plan(1, length(200), ALL);
        assert_eq!(faults.len(), 200);
        let met: HashSet<_> = faults.iter().map(|fault| (fault.kind, fault.target)).collect();
        assert_eq!(met, kinds(ALL).into_iter().collect());
    }

    #[test]
    fn the_seed_of_the_tests_kills_every_server_and_every_kind_of_role() {
        // `cargo xtask test` runs the short form with this seed.
        let faults = plan(206, SHORT, ALL);
        let has = |kind, target: &str| {
            faults.iter().any(|fault| fault.kind == kind && fault.target.to_string().starts_with(target))
        };
        for target in ["agent", "shipper", "transformer", "analyzer", "redis", "elasticsearch"] {
            assert!(has(Kind::Kill, target), "{target}");
        }
        assert!(has(Kind::Cut, "redis") && has(Kind::FillDisk, "redis") && has(Kind::JumpClock, "analyzer"));
    }

    #[test]
    fn what_cannot_be_done_is_not_planned() {
        let none = Abilities { elasticsearch: false, disks: false, clocks: false };
        for fault in plan(3, length(200), none) {
            assert_ne!(fault.target, Target::Elasticsearch);
            assert!(!matches!(fault.kind, Kind::FillDisk | Kind::JumpClock | Kind::ReadOnly), "{fault:?}");
        }
    }

    #[test]
    fn a_target_has_time_to_come_back() {
        let mut last: HashMap<Target, Duration> = HashMap::new();
        for fault in plan(11, length(200), ALL) {
            assert!(last.get(&fault.target).is_none_or(|&end| end < fault.at), "{fault:?}");
            last.insert(fault.target, fault.at + fault.lasts);
        }
    }
}
