//! A real Redis of the tests' own, with a password, on a free port, in a folder that goes away.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rastro_broker::redis::{RedisBroker, RedisConfig, Secret};

pub(crate) const PASSWORD: &str = "t0p-s3cret";

/// A running Redis; killed when it is dropped.
pub(crate) struct Server {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) port: u16,
    arguments: Vec<String>,
    process: Child,
}

/// Whether there is a Redis to test against. If not, says so; where CI says that it runs, that is a failure.
pub(crate) fn is_installed() -> bool {
    let is_there =
        Command::new("redis-server").arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI needs redis-server: run `cargo xtask services up redis`"
        );
        eprintln!("skipped: redis-server is not installed (Debian: apt-get install redis-server)");
    }
    is_there
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// With an append-only file, written at once.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Option<Self> {
        is_installed().then(|| Self::start_in(tempfile::tempdir().unwrap(), arguments))
    }

    pub(crate) fn start_in(directory: tempfile::TempDir, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Another program may take the port between the look and the start.
        for _ in 0..10 {
            let port = free_port();
            let mut process = spawn(directory.path(), port, &arguments);
            if is_ready(&mut process, port) {
                return Self { directory, port, arguments, process };
            }
        }
        panic!("redis-server does not start");
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again in the same folder, on the same port.
    pub(crate) fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.process = spawn(self.directory.path(), self.port, &self.arguments);
            if is_ready(&mut self.process, self.port) {
                return;
            }
            assert!(Instant::now() < deadline, "redis-server does not start again");
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn config(&self) -> RedisConfig {
        RedisConfig {
            addresses: vec![format!("redis://127.0.0.1:{}", self.port)],
            password: Some(Secret::new(PASSWORD)),
            lease: Duration::from_millis(600),
            connect_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(2),
            ..RedisConfig::default()
        }
    }

    pub(crate) async fn open(&self) -> RedisBroker {
        RedisBroker::connect(self.config()).await.unwrap()
    }

    /// What redis-cli prints.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        cli(self.port, arguments)
    }

    /// How long the file of the latest writes is with everything that was answered until now. While the disk is busy, Redis holds writes
    /// back for up to two seconds.
    pub(crate) fn append_only_length(&self) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.cli(&["INFO", "persistence"]).contains("aof_buffer_length:0") {
            assert!(Instant::now() < deadline, "redis-server keeps its writes to itself");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.length()
    }

    /// The power fails, and Redis starts again with so much of the file of the latest writes. Returns how much is lost of it.
    pub(crate) fn lose_power(&mut self, left: u64) -> u64 {
        self.kill();
        let lost = self.length() - left;
        std::fs::File::options().write(true).open(self.append_only_file()).unwrap().set_len(left).unwrap();
        self.restart();
        lost
    }

    fn length(&self) -> u64 {
        std::fs::metadata(self.append_only_file()).unwrap().len()
    }

    /// Where the latest writes are.
    fn append_only_file(&self) -> PathBuf {
        let folder = self.directory.path().join("appendonlydir");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(directory: &Path, port: u16, arguments: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD, "--masterauth", PASSWORD])
        .args(["--dir", &directory.display().to_string(), "--port", &port.to_string()])
        .args(arguments)
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn is_ready(process: &mut Child, port: u16) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        if cli(port, &["PING"]).trim() == "PONG" {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("redis-server does not answer");
}

fn cli(port: u16, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .env("REDISCLI_AUTH", PASSWORD)
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Passes bytes between clients and a server until it is told to cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    connections: std::sync::Arc<std::sync::Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(crate) fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let all = std::sync::Arc::clone(&connections);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", target))) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                        let _ = to.flush();
                    });
                }
                all.lock().unwrap().extend([client, server]);
            }
        });
        Self { port, connections }
    }

    /// Cuts every connection there is.
    pub(crate) fn cut(&self) -> usize {
        let mut connections = self.connections.lock().unwrap();
        for connection in connections.iter() {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        std::mem::take(&mut *connections).len() / 2
    }
}
