//! Two machines' worth of roles with a real Redis in between: shippers here, the transformer there.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::{
    roles::{Running, wait_for_calls},
    support::{Rastro, made_up_log},
};

pub(crate) const PASSWORD: &str = "not a secret of anyone";

/// A Redis of the test's own.
pub(crate) struct Redis {
    server: Child,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Redis {
    pub(crate) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--requirepass", PASSWORD]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        let Ok(server) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            eprintln!("skipped: redis-server is not installed");
            return None;
        };
        let redis = Self { server, url: format!("redis://127.0.0.1:{port}"), _folder: folder };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(redis);
            }
            sleep(Duration::from_millis(25));
        }
        panic!("redis-server does not listen on port {port}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn shipper_and_transformer_meet_in_redis_and_a_killed_transformer_loses_nothing() {
    const LINES: usize = 30_000;
    let Some(redis) = Redis::start() else { return };
    let (node, centre) = (Rastro::new(), Rastro::new());
    let secret = node.file("password", PASSWORD.as_bytes()).display().to_string();
    let url = format!("broker.urls=[\"{}\"]", redis.url);
    let password = format!("broker.password_file=\"{secret}\"");
    let with_redis = |role| ["--set", url.as_str(), "--set", password.as_str(), role];

    let logs = node.data_dir().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let log = made_up_log(LINES, 17);
    fs::write(logs.join("0123456789ab.log"), &log[..log.len() / 3]).unwrap();
    let _shipper = Running::start(&node, &with_redis("shipper"));
    let transformer = Running::start(&centre, &with_redis("transformer"));
    sleep(Duration::from_millis(1200));
    // Dropped is killed.
    drop(transformer);
    let rest = &log[log.len() / 3..];
    fs::OpenOptions::new()
        .append(true)
        .open(logs.join("0123456789ab.log"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, rest))
        .unwrap();
    let _transformer = Running::start(&centre, &with_redis("transformer"));
    wait_for_calls(&centre, LINES);
    assert_eq!(centre.json(&["datasets", "--json"])[0]["lost_lines"], 0);
}

#[test]
fn a_wrong_password_is_one_sentence_without_the_password() {
    let Some(redis) = Redis::start() else { return };
    let rastro = Rastro::new();
    let url = format!("broker.urls=[\"{}\"]", redis.url);
    let mut command = rastro.command(&["transformer", "--set", &url]);
    let output = command.env("RASTRO_BROKER__PASSWORD", "wrong-password").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("password"), "{error}");
    assert!(!error.contains("wrong-password"), "{error}");
}

#[test]
fn t_1_3_shipper_and_transformer_meet_in_a_list_of_filebeats_documents() {
    const LINES: usize = 5000;
    let Some(redis) = Redis::start() else { return };
    let (node, centre) = (Rastro::new(), Rastro::new());
    let secret = node.file("password", PASSWORD.as_bytes()).display().to_string();
    let url = format!("broker.urls=[\"{}\"]", redis.url);
    let password = format!("broker.password_file=\"{secret}\"");
    let with_list = |form, role| ["--set", url.as_str(), "--set", password.as_str(), "--set", form, role];

    let logs = node.data_dir().join("logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("0123456789ab.log"), made_up_log(LINES, 17)).unwrap();
    let _shipper = Running::start(&node, &with_list("shipper.output=list", "shipper"));
    let _transformer = Running::start(&centre, &with_list("transformer.input=list", "transformer"));
    wait_for_calls(&centre, LINES);
    assert_eq!(centre.json(&["datasets", "--json"])[0]["lost_lines"], 0);
}

#[test]
fn a_list_without_a_redis_is_refused_by_name() {
    let rastro = Rastro::new();
    let output = rastro.command(&["shipper", "--set", "shipper.output=list"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("shipper.output") && error.contains("broker.urls"), "{error}");
}
