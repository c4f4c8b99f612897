//! What runs, and whether it is still what was started.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// How long a server may take to end by itself.
const END_WAIT: Duration = Duration::from_secs(30);

/// A server that was started here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    /// Where it answers, without user and password.
    pub(super) url: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// Holds the password and nothing else; for the eyes of its owner only.
    pub(super) password_file: PathBuf,
    pub(super) log_file: PathBuf,
    pub(super) pid: i32,
    /// When the process began, in the kernel's ticks since the boot: a process number alone is used again.
    pub(super) start_ticks: u64,
    /// Which boot of the machine.
    pub(super) boot: String,
}

impl Running {
    /// Whether the process runs and is the one that was started here.
    pub(super) fn is_alive(&self) -> bool {
        boot() == self.boot && start_ticks(self.pid) == Some(self.start_ticks)
    }

    /// Ends it: asks, and after a while does not ask.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut signal = Signal::TERM;
        while self.is_alive() {
            if begun.elapsed() > END_WAIT {
                signal = Signal::KILL;
            }
            if begun.elapsed() > END_WAIT * 2 {
                bail!("process {} does not end", self.pid);
            }
            if let Some(pid) = Pid::from_raw(self.pid) {
                // An error means that it has just ended; the loop sees that.
                let _ = kill_process(pid, signal);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The password, from its file.
    pub(super) fn password(&self) -> anyhow::Result<String> {
        read(&self.password_file)
    }
}

/// The file that tells what runs.
#[derive(Debug)]
pub(super) struct Record {
    folder: PathBuf,
    running: BTreeMap<String, Running>,
}

impl Record {
    pub(super) fn load(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("services.json");
        let running = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("`{}` is damaged: end its servers by hand and remove it", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        Ok(Self { folder: folder.to_owned(), running })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn get(&self, name: &str) -> Option<&Running> {
        self.running.get(name)
    }

    pub(super) fn put(&mut self, name: &str, running: Running) -> anyhow::Result<()> {
        self.running.insert(name.to_owned(), running);
        self.save()
    }

    pub(super) fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        if self.running.remove(name).is_some() { self.save() } else { Ok(()) }
    }

    /// The record, and whether each is still there.
    pub(super) fn status(&self) -> serde_json::Value {
        let mut status = serde_json::Map::new();
        for (name, running) in &self.running {
            let mut one = serde_json::to_value(running).unwrap_or_default();
            one["running"] = running.is_alive().into();
            status.insert(name.clone(), one);
        }
        status.into()
    }

    fn save(&self) -> anyhow::Result<()> {
        let path = self.folder.join("services.json");
        let new = self.folder.join("services.json.new");
        // Renamed, so that a reader sees the old or the new one.
        fs::write(&new, serde_json::to_vec_pretty(&self.running)?)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("cannot write `{}`", path.display()))
    }
}

/// Identity of this boot of the machine.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process began; `None` if there is none, or only what is left of one that nobody has waited for.
pub(super) fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat)
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The second field is the program's name in brackets, which may itself hold brackets and blanks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    // Field 22; the first one here is field 3.
    fields.get(19)?.parse().ok()
}

/// The password in `path`; makes one if there is none.
pub(super) fn password(path: &Path) -> anyhow::Result<String> {
    if path.is_file() {
        return read(path);
    }
    let mut bytes = [0_u8; 24];
    std::io::Read::read_exact(
        &mut fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?,
        &mut bytes,
    )?;
    let password = bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    write_private(path, &password)?;
    Ok(password)
}

/// Writes a file that only its owner may read, at no moment anyone else.
pub(super) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(path);
        let mut options = fs::File::options();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        // The mask of the process may have taken more away than was asked.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn running(pid: i32) -> Running {
        Running {
            url: "redis://127.0.0.1:1".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 1,
            user: "default".to_owned(),
            password_file: PathBuf::from("/none"),
            log_file: PathBuf::from("/none"),
            pid,
            start_ticks: start_ticks(pid).unwrap(),
            boot: boot(),
        }
    }

    #[test]
    fn a_process_of_the_same_number_that_began_at_another_time_is_not_ours() {
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
        let ours = running(child.id() as i32);
        assert!(ours.is_alive());
        for foreign in [
            Running { start_ticks: ours.start_ticks + 1, ..ours.clone() },
            Running { boot: "another".to_owned(), ..ours.clone() },
        ] {
            assert!(!foreign.is_alive());
            foreign.end().unwrap();
        }
        assert!(child.try_wait().unwrap().is_none(), "what is not ours is left alone");
        ours.end().unwrap();
        assert!(!ours.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn a_name_with_brackets_does_not_hide_the_start() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(stat), Some(4711));
        assert_eq!(parse_stat(&stat.replace(" S ", " Z ")), None);
        assert_eq!(parse_stat("12 (x"), None);
    }

    #[test]
    fn a_password_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let first = password(&path).unwrap();
        assert!(first.len() == 48 && first.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(password(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_record_survives_and_tells_who_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::load(folder.path()).unwrap();
        let me = running(std::process::id() as i32);
        record.put("redis", me.clone()).unwrap();
        record.put("elasticsearch", Running { start_ticks: 0, ..me.clone() }).unwrap();
        let mut record = Record::load(folder.path()).unwrap();
        assert_eq!(record.get("redis"), Some(&me));
        let status = record.status();
        assert_eq!(
            (&status["redis"]["running"], &status["elasticsearch"]["running"]),
            (&true.into(), &false.into())
        );
        record.remove("redis").unwrap();
        assert!(Record::load(folder.path()).unwrap().get("redis").is_none());
        fs::write(folder.path().join("services.json"), "{").unwrap();
        assert!(Record::load(folder.path()).unwrap_err().to_string().contains("damaged"));
    }
}
