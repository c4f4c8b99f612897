//! The machine: limits, clock, the port of metrics.

use std::{fs, io, net::TcpListener};

use jiff::Timestamp;
use rustix::process::{Resource, getrlimit};

use super::check::Check;
use crate::{config::ObservabilityConfig, output::text};

/// Open files below which a node with many containers comes to its limit: each followed file is one.
const FEW_OPEN_FILES: u64 = 4096;

/// Limits of open files and of file notifications.
pub(super) fn limits() -> Vec<Check> {
    let open_files = getrlimit(Resource::Nofile).current;
    vec![
        of_open_files(open_files),
        of_notifications(number_in("max_user_watches"), number_in("max_user_instances")),
    ]
}

fn of_open_files(limit: Option<u64>) -> Check {
    match limit {
        None => Check::ok("open files", "no limit"),
        Some(limit) if limit < FEW_OPEN_FILES => Check::warn(
            "open files",
            format!("limit {limit}"),
            "enough for some hundred log files; raise it with `ulimit -n 65536` or LimitNOFILE= in the unit",
        ),
        Some(limit) => Check::ok("open files", format!("limit {}", text::count(limit))),
    }
}

fn number_in(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
}

fn of_notifications(watches: Option<u64>, instances: Option<u64>) -> Check {
    let (Some(watches), Some(instances)) = (watches, instances) else {
        return Check::warn(
            "file notifications",
            "this kernel has no inotify",
            "files are followed by polling alone: lines wait up to `shipper.poll_interval`",
        );
    };
    let found = format!("{} watches, {} instances a user", text::count(watches), text::count(instances));
    if watches < 8192 || instances < 128 {
        let advice =
            "raise them: `sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=256`";
        Check::warn("file notifications", found, advice)
    } else {
        Check::ok("file notifications", found)
    }
}

/// The clock: alarms are grouped and indices named by time.
pub(super) fn clock(now: Timestamp) -> Check {
    // 2026-01-01: no Rastro is older.
    let earliest = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::MIN);
    let found = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    if now < earliest {
        Check::warn(
            "clock",
            found,
            "it stands before this program was made: set it, or times of reading are wrong",
        )
    } else {
        Check::ok("clock", found)
    }
}

/// The port on which metrics and health answer.
pub(super) fn port(config: &ObservabilityConfig, owner: Option<&str>) -> Check {
    const NAME: &str = "metrics port";
    if !config.enabled {
        return Check::ok(NAME, "`observability.enabled` is false: nothing listens");
    }
    match TcpListener::bind(config.listen) {
        Ok(_) => Check::ok(NAME, format!("{} is free", config.listen)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && owner.is_some() => {
            Check::ok(NAME, format!("{} is in use, and a Rastro runs on the data directory", config.listen))
        }
        Err(error) => Check::broken(
            NAME,
            format!("{}: {error}", config.listen),
            "choose another with `observability.listen` (or `rastro run --listen`); port 0 takes a free one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::check::State;

    #[test]
    fn a_taken_port_is_broken_unless_rastro_runs() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = ObservabilityConfig { enabled: true, listen: listener.local_addr().unwrap() };
        assert_eq!(port(&config, None).state, State::Broken);
        assert_eq!(port(&config, Some("`rastro run` (pid 1)")).state, State::Ok);
        drop(listener);
        assert_eq!(port(&config, None).state, State::Ok);
        assert_eq!(port(&ObservabilityConfig { enabled: false, ..config }, None).state, State::Ok);
    }

    #[test]
    fn a_low_limit_is_a_warning_with_a_cure() {
        assert_eq!(of_open_files(Some(1024)).state, State::Warn);
        assert!(of_open_files(Some(1024)).advice.contains("ulimit"));
        assert_eq!(of_open_files(Some(65536)).state, State::Ok);
        assert_eq!(of_notifications(Some(65536), Some(128)).state, State::Ok);
        assert_eq!(of_notifications(Some(65536), Some(16)).state, State::Warn);
        assert_eq!(of_notifications(None, Some(128)).state, State::Warn);
    }

    #[test]
    fn a_clock_of_1970_is_noticed() {
        assert_eq!(clock(Timestamp::UNIX_EPOCH).state, State::Warn);
        assert_eq!(clock(Timestamp::from_second(1_795_000_000).unwrap()).state, State::Ok);
    }
}
