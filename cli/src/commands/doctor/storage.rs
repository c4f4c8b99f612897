//! The data directory and what lies in it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytesize::ByteSize;
use rastro_store::Store;
use rustix::fs::Access;

use super::{Context, check::Check};
use crate::output::text;

/// Free bytes below which a start makes no sense.
const LEAST_FREE: u64 = 64 << 20;

/// Data directory, room on its disk, log folder, queue.
pub(super) fn folders(context: &Context, owner: Option<&str>) -> Vec<Check> {
    let root = context.data_dir.root();
    let mut checks = vec![
        data_directory(root, owner),
        free_disk(root, context.config.agent.disk_limit.0 + context.config.broker.limit_bytes.0),
        log_folder(&context.config.log_dir()),
    ];
    if context.config.broker.urls.is_empty() {
        checks.push(queue(&context.data_dir.queue(), context.config.broker.limit_bytes.0));
    }
    checks
}

fn data_directory(root: &Path, owner: Option<&str>) -> Check {
    const NAME: &str = "data directory";
    let place = absolute(root);
    let metadata = match fs::metadata(root) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = nearest_folder(&place);
            return if rustix::fs::access(&parent, Access::WRITE_OK).is_ok() {
                Check::ok(NAME, format!("`{}` is not there yet and can be made", place.display()))
            } else {
                let found =
                    format!("`{}` is not there, and `{}` is not writable", place.display(), parent.display());
                Check::broken(NAME, found, "make it for this user, or name another one with --data-dir")
            };
        }
        Err(error) => {
            let found = format!("`{}`: {error}", place.display());
            return Check::broken(NAME, found, "let this user into it, or name another one with --data-dir");
        }
    };
    if !metadata.is_dir() || rustix::fs::access(root, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let found = format!("`{}` is not a folder that this user may write to", place.display());
        return Check::broken(NAME, found, "change its owner, or name another one with --data-dir");
    }
    let used_by = owner.map_or_else(String::new, |owner| format!(", in use by {owner}"));
    let found = format!("`{}` is writable{used_by}", place.display());
    let for_others = metadata.permissions().mode() & 0o077;
    if for_others == 0 {
        Check::ok(NAME, found)
    } else {
        let advice = format!(
            "other users can look into it, and it tells of every process: `chmod 700 {}`",
            place.display()
        );
        Check::warn(NAME, found, advice)
    }
}

fn free_disk(root: &Path, wanted: u64) -> Check {
    const NAME: &str = "free disk";
    let folder = nearest_folder(&absolute(root));
    match rustix::fs::statvfs(&folder) {
        Ok(facts) => of_free_disk(facts.f_bavail.saturating_mul(facts.f_frsize), wanted),
        Err(error) => Check::warn(NAME, format!("`{}`: {error}", folder.display()), "look with `df`"),
    }
}

fn of_free_disk(free: u64, wanted: u64) -> Check {
    const NAME: &str = "free disk";
    let found = ByteSize::b(free).to_string();
    if free < LEAST_FREE {
        Check::broken(NAME, found, "make room: nothing can be stored")
    } else if free < wanted {
        let advice = format!(
            "less than the {} that `agent.disk_limit` and `broker.limit_bytes` allow: make room, or lower them",
            ByteSize::b(wanted)
        );
        Check::warn(NAME, found, advice)
    } else {
        Check::ok(NAME, found)
    }
}

fn log_folder(path: &Path) -> Check {
    const NAME: &str = "log folder";
    match fs::read_dir(path) {
        Ok(entries) => {
            let is_log =
                |entry: &fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "log");
            let logs: Vec<_> = entries.flatten().filter(is_log).collect();
            let unreadable = logs.iter().filter(|entry| File::open(entry.path()).is_err()).count();
            let found = format!("`{}`: {} log files", path.display(), text::count(logs.len() as u64));
            if unreadable > 0 {
                let advice =
                    format!("{unreadable} of them cannot be read by this user: change their group or mode");
                Check::broken(NAME, found, advice)
            } else {
                Check::ok(NAME, found)
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Check::ok(NAME, format!("`{}` is not there yet", path.display()))
        }
        Err(error) => Check::broken(
            NAME,
            format!("`{}`: {error}", path.display()),
            "let this user read it, or name another one with `agent.log_dir`",
        ),
    }
}

fn queue(path: &Path, limit: u64) -> Check {
    const NAME: &str = "queue";
    let size = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        fs::metadata(name).map_or(0, |metadata| metadata.len())
    };
    let bytes = size("") + size("-wal");
    if bytes == 0 {
        return Check::ok(NAME, "none yet");
    }
    let found = format!("{} on disk (limit of its content: {})", ByteSize::b(bytes), ByteSize::b(limit));
    let set_aside = path.parent().and_then(|folder| fs::read_dir(folder).ok()).is_some_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains(".corrupt-"))
    });
    if set_aside {
        let advice = "a damaged queue was set aside beside it; its lines were read again from the log files. Remove it when you need it no more";
        Check::warn(NAME, found, advice)
    } else {
        Check::ok(NAME, found)
    }
}

/// The store and the profiles in it.
pub(super) async fn store(context: &Context) -> Vec<Check> {
    const NAME: &str = "store";
    if context.config.store.is_embedded() && !context.data_dir.store().exists() {
        return vec![Check::ok(NAME, "none yet: the first `rastro replay` or `rastro run` makes it")];
    }
    let store = match context.store_to_read().await {
        Ok(store) => store,
        Err(error) => return vec![unusable(context, &error)],
    };
    match look_into(store.as_ref()).await {
        Ok(checks) => checks,
        Err(error) => vec![unusable(context, &error)],
    }
}

fn unusable(context: &Context, error: &anyhow::Error) -> Check {
    let advice = if context.config.store.is_embedded() {
        "bring the file back from a copy, or move it away and replay the recordings; nothing was changed"
    } else {
        "until then chunks wait in the queue, and in the end in the log files"
    };
    Check::broken("store", format!("{error:#}"), advice)
}

async fn look_into(store: &dyn Store) -> anyhow::Result<Vec<Check>> {
    let datasets = store.datasets().await?;
    let calls: u64 = datasets.iter().flat_map(|dataset| &dataset.indices).map(|index| index.calls).sum();
    let found = format!(
        "{} in {}, {} on disk",
        text::counted(calls, "call"),
        text::counted(datasets.len() as u64, "dataset"),
        ByteSize::b(store.size().await?)
    );
    let open: Vec<_> = datasets
        .iter()
        .filter(|dataset| !dataset.tally.is_closed())
        .map(|dataset| dataset.name.as_str())
        .collect();
    let mut checks = vec![if open.is_empty() {
        Check::ok("store", found)
    } else {
        let advice =
            format!("the sums of {} do not close: lines are unaccounted for; report this", open.join(", "));
        Check::warn("store", found, advice)
    }];
    let profiles = store.profiles().await?;
    checks.push(if profiles.is_empty() {
        let advice = "`rastro train DATASET` learns one; with `analyzer.learning = \"auto\"` it is learned while running";
        Check::missing("profiles", "none", advice)
    } else {
        let mut names: Vec<_> = profiles.iter().map(|profile| profile.profile.name.as_str()).collect();
        names.dedup();
        Check::ok("profiles", format!("{} of {}", text::counted(profiles.len() as u64, "version"), names.join(", ")))
    });
    Ok(checks)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The folder itself, or the nearest one above it that is there.
fn nearest_folder(path: &Path) -> PathBuf {
    path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::check::State;

    #[test]
    fn a_data_directory_is_judged_by_what_this_user_may_do() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        assert_eq!(data_directory(&root, None).state, State::Ok);
        fs::create_dir_all(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(data_directory(&root, None).state, State::Warn);
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(data_directory(&root, None).state, State::Ok);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(data_directory(&file, None).state, State::Broken);
    }

    #[test]
    fn a_full_disk_is_broken_and_a_small_one_a_warning() {
        assert_eq!(of_free_disk(1 << 20, 1 << 30).state, State::Broken);
        assert_eq!(of_free_disk(1 << 29, 1 << 30).state, State::Warn);
        assert_eq!(of_free_disk(1 << 31, 1 << 30).state, State::Ok);
    }

    #[test]
    fn a_queue_set_aside_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        assert_eq!(queue(&path, 1), Check::ok("queue", "none yet"));
        fs::write(&path, "12345").unwrap();
        assert_eq!(queue(&path, 1).state, State::Ok);
        fs::write(folder.path().join("queue.db.corrupt-1"), "").unwrap();
        assert_eq!(queue(&path, 1).state, State::Warn);
    }
}
