//! A Redis and an Elasticsearch of a run's own, that may be killed.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::{process::Process, rest::Rest};

/// How long a server may take to answer after its start.
const START: Duration = Duration::from_mins(5);

/// Who the servers run as: Elasticsearch refuses to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Number of the user.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
}

impl std::str::FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (uid, gid) = text.split_once(':')?;
            Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        };
        parse().ok_or_else(|| format!("`{text}` is not of the form UID:GID"))
    }
}

/// A command that runs as `account`, or as whoever runs this, and is killed when this process ends, however it ends.
pub(crate) fn command_as(account: Option<Account>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if let Some(Account { uid, gid }) = account {
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
        command.arg("--no-new-privs");
    }
    command.arg("--").arg(program);
    command
}

/// Gives a folder and what is in it to `account`.
fn give(account: Option<Account>, folder: &Path) -> anyhow::Result<()> {
    let Some(Account { uid, gid }) = account else { return Ok(()) };
    let status = Command::new("chown").args(["-R", &format!("{uid}:{gid}")]).arg(folder).status()?;
    ensure!(status.success(), "cannot give `{}` to user {uid}", folder.display());
    Ok(())
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on this machine")?;
    Ok(listener.local_addr()?.port())
}

/// A password for one run.
pub(crate) fn password() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

/// A server with what is needed to speak with it.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub port: u16,
    /// Password of its user (`default`, `elastic`).
    pub password: String,
}

/// A Redis with an append-only file in `folder`, as Rastro's documentation asks for it.
pub fn redis(folder: &Path, data: &Path, account: Option<Account>) -> anyhow::Result<Server> {
    let (port, password) = (free_port()?, password()?);
    fs::create_dir_all(folder)?;
    fs::create_dir_all(data)?;
    let configuration = folder.join("redis.conf");
    let text = format!(
        "bind 127.0.0.1\nport {port}\nprotected-mode yes\ndaemonize no\nrequirepass {password}\ndir \"{}\"\n\
         appendonly yes\nappendfsync everysec\nsave \"\"\nmaxmemory-policy noeviction\n",
        data.display(),
    );
    write_private(&configuration, &text)?;
    give(account, folder)?;
    give(account, data)?;
    let process = Process::new("redis", &folder.join("redis.log"), move || {
        let mut command = command_as(account, Path::new("redis-server"));
        command.arg(&configuration);
        command
    });
    Ok(Server { process, port, password })
}

/// Where an unpacked Elasticsearch and its Java are.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// Folder with `bin/` and `lib/`.
    pub home: PathBuf,
    /// Folder of the Java that it runs on.
    pub java: PathBuf,
    /// Its heap (`512m`).
    pub heap: String,
}

/// An Elasticsearch that keeps everything in `folder`.
pub fn elasticsearch(
    folder: &Path,
    distribution: &Distribution,
    account: Option<Account>,
) -> anyhow::Result<Server> {
    let (port, password) = (free_port()?, password()?);
    let mut transport = free_port()?;
    while transport == port {
        transport = free_port()?;
    }
    let configuration = folder.join("config");
    fs::create_dir_all(&configuration)?;
    for name in ["data", "logs", "tmp"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for entry in fs::read_dir(distribution.home.join("config"))? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && name != "elasticsearch.keystore" {
            fs::copy(entry.path(), configuration.join(&name))?;
        }
    }
    let settings = format!(
        "cluster.name: rastro-chaos\nnode.name: rastro-chaos\nnetwork.host: 127.0.0.1\nhttp.port: {port}\ntransport.port: {transport}\n\
         discovery.type: single-node\nxpack.security.enabled: true\npath.data: {0}/data\npath.logs: {0}/logs\n\
         cluster.routing.allocation.disk.watermark.low: 1gb\ncluster.routing.allocation.disk.watermark.high: 500mb\n\
         cluster.routing.allocation.disk.watermark.flood_stage: 200mb\n",
        folder.display(),
    );
    fs::write(configuration.join("elasticsearch.yml"), settings)?;
    give(account, folder)?;
    let command = {
        let (folder, distribution) = (folder.to_owned(), distribution.clone());
        move |program: &str| {
            let mut command = command_as(account, &distribution.home.join("bin").join(program));
            command
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("ES_JAVA_HOME", &distribution.java)
                .env("ES_JAVA_OPTS", format!("-Xms{0} -Xmx{0}", distribution.heap))
                .env("ES_PATH_CONF", folder.join("config"))
                .env("ES_TMPDIR", folder.join("tmp"))
                .current_dir(&folder);
            command
        }
    };
    set_password(&password, &command)?;
    let process =
        Process::new("elasticsearch", &folder.join("console.log"), move || command("elasticsearch"));
    Ok(Server { process, port, password })
}

fn set_password(password: &str, command: &impl Fn(&str) -> Command) -> anyhow::Result<()> {
    let tool = "elasticsearch-keystore";
    let created =
        command(tool).arg("create").stdin(Stdio::null()).output().context("elasticsearch-keystore")?;
    ensure!(created.status.success(), "{tool} create: {}", String::from_utf8_lossy(&created.stderr));
    let mut add = command(tool)
        .args(["add", "--stdin", "bootstrap.password"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("elasticsearch-keystore")?;
    add.stdin.take().context("elasticsearch-keystore takes no input")?.write_all(password.as_bytes())?;
    ensure!(add.wait()?.success(), "{tool} does not take the password");
    Ok(())
}

impl Server {
    /// How to ask it, if it is an Elasticsearch.
    pub fn rest(&self) -> Rest {
        Rest { port: self.port, user: "elastic".to_owned(), password: self.password.clone() }
    }

    /// What a Redis answers to a command.
    pub fn ask_redis(&self, command: &[&str]) -> anyhow::Result<String> {
        let mut client = Command::new("redis-cli");
        client.env("REDISCLI_AUTH", &self.password).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let output = client.args(command).stdin(Stdio::null()).output().context("redis-cli")?;
        ensure!(output.status.success(), "redis-cli: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Waits until an Elasticsearch answers.
    pub fn wait_for_elasticsearch(&mut self) -> anyhow::Result<()> {
        let rest = self.rest();
        self.wait(|| {
            rest.ask("GET", "/_cluster/health", None)
                .is_ok_and(|health| health["status"] == "green" || health["status"] == "yellow")
        })
    }

    /// Waits until something listens.
    pub fn wait_for_port(&mut self) -> anyhow::Result<()> {
        let port = self.port;
        self.wait(|| std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    fn wait(&mut self, is_ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !is_ready() {
            if !self.process.is_running() {
                bail!("{} has ended: {}", self.process.name(), self.process.last_words());
            }
            if begun.elapsed() > START {
                bail!("{} does not answer after {} s", self.process.name(), START.as_secs());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, "").with_context(|| format!("cannot write `{}`", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    fs::write(path, text)?;
    Ok(())
}
