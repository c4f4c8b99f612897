//! An Elasticsearch of a test's own, which it may freeze and kill; the distribution is the one that `cargo xtask services up` unpacked.

use std::{
    fs::{self, File},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use elasticsearch::http::Method;

use crate::home::Server;

const START_LIMIT: Duration = Duration::from_mins(5);

pub(crate) struct OwnServer {
    folder: tempfile::TempDir,
    distribution: PathBuf,
    java: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl OwnServer {
    /// Makes one with further settings; `None`, with a message, where nothing is installed. It is not started yet.
    pub(crate) fn new(settings: &str) -> Option<Self> {
        let installed = distribution().zip(java());
        let Some((distribution, java)) = installed else {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs Elasticsearch: run `cargo xtask services up elasticsearch`"
            );
            eprintln!(
                "skipped: no Elasticsearch is unpacked (`cargo xtask services up elasticsearch` does it)"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("config");
        for name in ["config", "data", "logs", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for entry in fs::read_dir(distribution.join("config")).unwrap().map(Result::unwrap) {
            // Its password is not ours.
            if entry.file_type().unwrap().is_file() && entry.file_name() != "elasticsearch.keystore" {
                fs::copy(entry.path(), configuration.join(entry.file_name())).unwrap();
            }
        }
        let (port, transport) = (free_port(), free_port());
        let all = format!(
            "cluster.name: own\nnode.name: own\nnetwork.host: 127.0.0.1\nhttp.port: {port}\ntransport.port: {transport}\n\
             discovery.type: single-node\npath.data: {0}/data\npath.logs: {0}/logs\n\
             cluster.routing.allocation.disk.threshold_enabled: false\n{settings}\n",
            folder.path().display()
        );
        fs::write(configuration.join("elasticsearch.yml"), all).unwrap();
        Some(Self { folder, distribution, java, port, child: None })
    }

    /// Where its configuration lies.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Starts it and waits until it answers at `url`.
    pub(crate) async fn start(&mut self, url: &str) -> Server {
        let owner = fs::metadata(&self.distribution).unwrap();
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL");
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            // It refuses to run as root.
            let (user, group) = (owner.uid(), owner.gid());
            let status = Command::new("chown")
                .args(["-R", &format!("{user}:{group}")])
                .arg(self.folder.path())
                .status()
                .unwrap();
            assert!(status.success());
            command.args([format!("--reuid={user}"), format!("--regid={group}")]);
            command.args(["--clear-groups", "--no-new-privs"]);
        }
        let log =
            File::options().create(true).append(true).open(self.folder.path().join("console.log")).unwrap();
        let folder = self.folder.path();
        command
            .arg("--")
            .arg(self.distribution.join("bin/elasticsearch"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("ES_JAVA_HOME", &self.java)
            .env("ES_JAVA_OPTS", "-Xms512m -Xmx512m")
            .env("ES_PATH_CONF", folder.join("config"))
            .env("ES_TMPDIR", folder.join("tmp"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0);
        self.child = Some(command.spawn().unwrap());
        let server = Server::open_to_all(url);
        let begun = Instant::now();
        while !is_ready(&server).await {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.last_words());
            assert!(begun.elapsed() < START_LIMIT, "it does not answer: {}", self.last_words());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        server
    }

    /// Stops all its threads where they are.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// To it and to what it has started itself.
    fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args([&format!("-{name}"), "--", &group]).status();
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("console.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn is_ready(server: &Server) -> bool {
    let asked = server.try_ask(Method::Get, "/_cluster/health", None).await;
    asked.is_ok_and(|(_, health)| matches!(health["status"].as_str(), Some("green" | "yellow")))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn distribution() -> Option<PathBuf> {
    let told = std::env::var_os("RASTRO_SERVICES").map(PathBuf::from);
    let beside = told.as_deref().and_then(Path::parent).map(Path::to_owned);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/services");
    beside.into_iter().chain([usual]).find_map(|services| {
        let folders = fs::read_dir(services.join("elasticsearch")).ok()?;
        let mut homes = folders.flatten().map(|entry| entry.path());
        homes.find(|home| home.join("bin/elasticsearch").is_file())?.canonicalize().ok()
    })
}

fn java() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let program =
        std::env::split_paths(&path).map(|folder| folder.join("java")).find(|file| file.is_file())?;
    // …/bin/java, behind whatever links lead there.
    Some(program.canonicalize().ok()?.parent()?.parent()?.to_owned())
}
