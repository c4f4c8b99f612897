//! Elasticsearch 8, from Maven Central: the plain build that Elastic publishes for integration tests.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    account::Account,
    install,
    probe::{self, HOST},
    record::{self, Record, Running},
};
use crate::command::{output, step};

const NAME: &str = "elasticsearch";
const VERSION: &str = "8.19.21";
const ARTIFACT: &str = "org.elasticsearch.distribution.integ-test-zip:elasticsearch";
const START_LIMIT: Duration = Duration::from_mins(3);
/// Oldest Java that this version runs on.
const OLDEST_JAVA: u32 = 17;

/// Where it is unpacked, and the Java that it runs on; installs both.
pub(super) fn install(downloads: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    install::ensure("java", &["openjdk-17-jdk-headless"])?;
    let folder = downloads.join(NAME);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let home = ensure_unpacked(downloads, &folder)?;
    Account::find()?.can_reach(&folder)?;
    Ok((home, java_home()?))
}

/// Starts it and waits until it answers.
pub(super) fn start(record: &mut Record, heap: &str) -> anyhow::Result<()> {
    if !heap.ends_with(['m', 'g']) || heap[..heap.len() - 1].parse::<u32>().is_err() {
        bail!("`{heap}` is no size of a heap: give one such as 512m or 1g");
    }
    install::ensure("java", &["openjdk-17-jdk-headless"])?;
    let java_home = java_home()?;
    let account = Account::find()?;
    let folder = record.folder().join(NAME);
    let home = ensure_unpacked(record.folder(), &folder)?;
    account.can_reach(&folder)?;
    let password_file = record.folder().join("elasticsearch.password");
    let password = record::password(&password_file)?;
    let port = probe::free_port(record.get(NAME).map(|running| running.port))?;
    let transport_port = other_port(port)?;
    let (data, logs) = (folder.join("data"), folder.join("logs"));
    for folder in [&data, &logs, &folder.join("tmp")] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    }
    let settings = format!(
        "cluster.name: rastro\nnode.name: rastro\nnetwork.host: {HOST}\nhttp.port: {port}\ntransport.port: {transport_port}\n\
         discovery.type: single-node\nxpack.security.enabled: true\npath.data: {}\npath.logs: {}\n\
         # A developer's disk is often nearly full; by default that makes indices read-only at 95 %.\n\
         cluster.routing.allocation.disk.watermark.low: 1gb\ncluster.routing.allocation.disk.watermark.high: 500mb\n\
         cluster.routing.allocation.disk.watermark.flood_stage: 200mb\n",
        data.display(),
        logs.display()
    );
    let settings_file = home.join("config/elasticsearch.yml");
    fs::write(&settings_file, settings)
        .with_context(|| format!("cannot write `{}`", settings_file.display()))?;
    account.own(&folder)?;

    let command = |program: &str| {
        let mut command = account.command(&home.join("bin").join(program));
        command
            .env("ES_JAVA_HOME", &java_home)
            .env("ES_JAVA_OPTS", format!("-Xms{heap} -Xmx{heap}"))
            .env("ES_TMPDIR", folder.join("tmp"))
            .current_dir(&home);
        command
    };
    set_password(&home, &password, command)?;
    let pid_file = folder.join("pid");
    let _ = fs::remove_file(&pid_file);
    let console = fs::File::create(folder.join("console.log"))?;
    // Returns once the node is up, or says why it is not.
    let status = command("elasticsearch")
        .arg("--daemonize")
        .arg("--pidfile")
        .arg(&pid_file)
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        .status()
        .context("cannot start elasticsearch")?;
    if !status.success() {
        bail!("elasticsearch does not start ({status}); see {}", folder.join("console.log").display());
    }
    let pid = fs::read_to_string(&pid_file)
        .with_context(|| format!("elasticsearch has not written `{}`", pid_file.display()))?;
    let pid = pid.trim().parse().with_context(|| format!("`{}` holds no number", pid_file.display()))?;
    let running = Running {
        url: format!("http://{HOST}:{port}"),
        host: HOST.to_owned(),
        port,
        user: "elastic".to_owned(),
        password_file,
        log_file: logs.join("rastro.log"),
        pid,
        start_ticks: record::start_ticks(pid).context("elasticsearch has ended at once")?,
        boot: record::boot(),
    };
    record.put(NAME, running.clone())?;
    wait(&running)
}

/// Waits until it answers. Its root page is a module that this build lacks: the cluster's health is asked instead.
pub(super) fn wait(running: &Running) -> anyhow::Result<()> {
    let credentials = STANDARD.encode(format!("{}:{}", running.user, running.password()?));
    let question = format!(
        "GET /_cluster/health HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Basic {credentials}\r\nConnection: close\r\n\r\n"
    );
    probe::wait_until(running, START_LIMIT, || {
        let answer = probe::ask(running.port, question.as_bytes(), "\"status\"").unwrap_or_default();
        if answer.starts_with("HTTP/1.1 401") {
            bail!(
                "elasticsearch at {} refuses its password: remove `target/services/elasticsearch/data`",
                running.url
            );
        }
        Ok(["\"green\"", "\"yellow\""].iter().any(|status| answer.contains(status)))
    })
}

/// The folder of the unpacked distribution.
fn ensure_unpacked(downloads: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let home = folder.join(format!("elasticsearch-{VERSION}"));
    if home.join("bin/elasticsearch").is_file() {
        return Ok(home);
    }
    let archive = downloads.join(format!("elasticsearch-{VERSION}.zip"));
    if !archive.is_file() {
        install::ensure("mvn", &["maven"])?;
        let mut copy = Command::new("mvn");
        copy.args(["--quiet", "--batch-mode", "dependency:copy"])
            .arg(format!("-Dartifact={ARTIFACT}:{VERSION}:zip"))
            .arg(format!("-DoutputDirectory={}", downloads.display()));
        step("fetch Elasticsearch from Maven Central (107 MB)", &mut copy)?;
    }
    eprintln!("==> unpack {}", archive.display());
    // Unpacked beside and renamed, so that half of it is never taken for the whole.
    let beside = folder.join("unpacking");
    let _ = fs::remove_dir_all(&beside);
    fs::create_dir_all(&beside)?;
    let file = fs::File::open(&archive).with_context(|| format!("cannot open `{}`", archive.display()))?;
    zip::ZipArchive::new(file).and_then(|mut archive| archive.extract(&beside)).with_context(|| {
        format!("`{}` cannot be unpacked: remove it to fetch it again", archive.display())
    })?;
    let unpacked = beside.join(format!("elasticsearch-{VERSION}"));
    for entry in fs::read_dir(unpacked.join("bin"))? {
        // The archive may have come without modes.
        fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
    }
    fs::rename(&unpacked, &home)?;
    fs::remove_dir_all(&beside)?;
    Ok(home)
}

/// Writes the password of the user `elastic` into the keystore, from which the first start takes it.
fn set_password(home: &Path, password: &str, command: impl Fn(&str) -> Command) -> anyhow::Result<()> {
    if home.join("config/elasticsearch.keystore").is_file() {
        return Ok(());
    }
    output(command("elasticsearch-keystore").arg("create").stdin(Stdio::null()))?;
    let mut add = command("elasticsearch-keystore")
        .args(["add", "--stdin", "bootstrap.password"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start elasticsearch-keystore")?;
    add.stdin.take().context("elasticsearch-keystore takes no input")?.write_all(password.as_bytes())?;
    if !add.wait()?.success() {
        let _ = fs::remove_file(home.join("config/elasticsearch.keystore"));
        bail!("elasticsearch-keystore does not take the password");
    }
    Ok(())
}

fn other_port(port: u16) -> anyhow::Result<u16> {
    loop {
        let other = probe::free_port(None)?;
        if other != port {
            return Ok(other);
        }
    }
}

/// Where the machine's Java lives.
fn java_home() -> anyhow::Result<PathBuf> {
    let listing = Command::new("java").args(["-XshowSettings:properties", "-version"]).output()?;
    let text = String::from_utf8_lossy(&listing.stderr).into_owned();
    let property = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('=').map(str::trim))
    };
    let version = property("java.specification.version").unwrap_or_default();
    if version.parse::<u32>().is_ok_and(|version| version < OLDEST_JAVA) {
        bail!("Java {version} is too old for Elasticsearch {VERSION}: install openjdk-17-jdk-headless");
    }
    property("java.home").map(PathBuf::from).context("`java` does not say where it is installed")
}
