//! Redis 7, from Debian's `redis-server`.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::Context;

use super::{
    account::Account,
    install,
    probe::{self, HOST},
    record::{self, Record, Running},
};

const NAME: &str = "redis";
const PROGRAM: &str = "redis-server";
const START_LIMIT: Duration = Duration::from_mins(1);

/// Starts it and waits until it answers.
pub(super) fn start(record: &mut Record) -> anyhow::Result<()> {
    install::ensure(PROGRAM, &["redis-server"])?;
    let account = Account::find()?;
    let folder = record.folder().join(NAME);
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("cannot create `{}`", data.display()))?;
    account.can_reach(&folder)?;
    let password_file = record.folder().join("redis.password");
    let password = record::password(&password_file)?;
    let port = probe::free_port(record.get(NAME).map(|running| running.port))?;
    let log_file = folder.join("redis.log");
    let configuration = folder.join("redis.conf");
    // Read as soon as it starts, by the user that it runs as; on no command line, where everybody could read the password.
    record::write_private(
        &configuration,
        &format!(
            "bind {HOST}\nport {port}\nprotected-mode yes\ndaemonize no\nrequirepass {password}\n\
             dir \"{}\"\nlogfile \"{}\"\nappendonly yes\nappendfsync everysec\nsave \"\"\nmaxmemory-policy noeviction\n",
            data.display(),
            log_file.display()
        ),
    )?;
    account.own(&folder)?;
    let child = account
        .command(Path::new(PROGRAM))
        .arg(&configuration)
        .current_dir(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start redis-server")?;
    let pid = child.id() as i32;
    let running = Running {
        url: format!("redis://{HOST}:{port}"),
        host: HOST.to_owned(),
        port,
        user: "default".to_owned(),
        password_file,
        log_file,
        pid,
        start_ticks: record::start_ticks(pid).context("redis-server has ended at once")?,
        boot: record::boot(),
    };
    record.put(NAME, running.clone())?;
    wait(&running)
}

/// Waits until it answers.
pub(super) fn wait(running: &Running) -> anyhow::Result<()> {
    let question = format!("AUTH {}\r\nPING\r\n", running.password()?);
    probe::wait_until(running, START_LIMIT, || {
        Ok(probe::ask(running.port, question.as_bytes(), "PONG").is_ok_and(|answer| answer.contains("+PONG")))
    })
}
