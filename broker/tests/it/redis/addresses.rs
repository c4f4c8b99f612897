//! TLS, Sentinel, Cluster.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rastro_broker::{Broker, RedisBroker, RedisConfig, RedisError};

use super::{
    acknowledge_all, lines_of,
    server::{PASSWORD, Server, free_port, is_installed},
    take_all,
};
use crate::chunk;

/// An authority and a certificate for 127.0.0.1.
fn make_certificates(directory: &Path) -> bool {
    let openssl = |arguments: &[&str]| {
        Command::new("openssl")
            .args(arguments)
            .current_dir(directory)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let is_made = openssl(
        &[&new[..], &["-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Test CA", "-days", "2"]]
            .concat(),
    ) && openssl(
        &[&new[..], &["-keyout", "redis.key", "-out", "redis.csr", "-subj", "/CN=redis"]].concat(),
    ) && openssl(&[
        "x509",
        "-req",
        "-in",
        "redis.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        "redis.crt",
        "-days",
        "2",
        "-extfile",
        "names",
    ]);
    if !is_made {
        eprintln!("skipped: openssl is not installed");
    }
    is_made
}

#[tokio::test]
async fn chunks_pass_through_tls_and_only_with_the_right_authority() {
    let directory = tempfile::tempdir().unwrap();
    if !is_installed() || !make_certificates(directory.path()) {
        return;
    }
    let tls_port = free_port();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let server = Server::start_with(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &path("redis.crt"),
        "--tls-key-file",
        &path("redis.key"),
        "--tls-ca-cert-file",
        &path("ca.crt"),
        "--tls-auth-clients",
        "no",
    ])
    .unwrap();
    let config = RedisConfig {
        addresses: vec![format!("rediss://127.0.0.1:{tls_port}")],
        ca_file: Some(directory.path().join("ca.crt")),
        ..server.config()
    };
    let broker = RedisBroker::connect(config.clone()).await.unwrap();
    broker.append((0..5).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    assert_eq!(lines_of(1, &take_all(&broker).await), [0, 1, 2, 3, 4]);

    let error = RedisBroker::connect(RedisConfig { ca_file: None, ..config.clone() }).await.unwrap_err();
    assert!(matches!(error, RedisError::Tls { .. }), "{error:?}");
    let plain =
        RedisConfig { addresses: vec![format!("rediss://127.0.0.1:{}", server.port)], ..config.clone() };
    let error = RedisBroker::connect(plain).await.unwrap_err().to_string();
    assert!(error.contains("TLS"), "{error}");
    let missing = RedisConfig { ca_file: Some(directory.path().join("none")), ..config };
    let error = RedisBroker::connect(missing).await.unwrap_err().to_string();
    assert!(error.contains("CA file") && error.contains("none"), "{error}");
}

#[tokio::test]
async fn the_node_of_a_cluster_that_owns_the_keys_is_found_from_any_other() {
    let Some(first) = Server::start_with(&["--cluster-enabled", "yes"]) else { return };
    let second = Server::start_with(&["--cluster-enabled", "yes"]).unwrap();
    let slot: u32 = first.cli(&["CLUSTER", "KEYSLOT", "{rastro}:meta"]).trim().parse().unwrap();
    // The second node owns the broker's keys.
    second.cli(&["CLUSTER", "ADDSLOTSRANGE", &slot.to_string(), &slot.to_string()]);
    first.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", &(slot - 1).to_string(), &(slot + 1).to_string(), "16383"]);
    first.cli(&["CLUSTER", "SET-CONFIG-EPOCH", "1"]);
    second.cli(&["CLUSTER", "SET-CONFIG-EPOCH", "2"]);
    first.cli(&["CLUSTER", "MEET", "127.0.0.1", &second.port.to_string()]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while [&first, &second].iter().any(|node| !node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")) {
        assert!(Instant::now() < deadline, "{}", first.cli(&["CLUSTER", "NODES"]));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let broker = first.open().await;
    broker.append((0..40).map(|stream| chunk(stream, 0, 1)).collect()).await.unwrap();
    let taken = take_all(&broker).await;
    assert_eq!(taken.len(), 40);
    acknowledge_all(&broker, &taken).await;
    assert_eq!(second.cli(&["HGET", "{rastro}:meta", "layout"]).trim(), "1");
    // The first address may be dead.
    let config = RedisConfig {
        addresses: vec![
            format!("redis://127.0.0.1:{}", free_port()),
            format!("redis://127.0.0.1:{}", first.port),
        ],
        ..first.config()
    };
    let broker = RedisBroker::connect(config).await.unwrap();
    assert_eq!(broker.append(vec![chunk(1, 1, 2)]).await.unwrap(), 1);
}

/// A Sentinel; killed when it is dropped.
struct Sentinel {
    port: u16,
    process: Child,
    _directory: tempfile::TempDir,
}

impl Sentinel {
    fn watching(master: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let configuration = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor trail 127.0.0.1 {master} 1\nsentinel auth-pass trail {PASSWORD}\n\
             sentinel down-after-milliseconds trail 500\nsentinel failover-timeout trail 3000\n"
        );
        std::fs::write(&configuration, text).unwrap();
        let process = Command::new("redis-server")
            .arg(&configuration)
            .arg("--sentinel")
            .args(["--dir", &directory.path().display().to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { port, process, _directory: directory }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_follows_the_master_that_sentinel_names() {
    let Some(mut master) = Server::start() else { return };
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &master.port.to_string()]).unwrap();
    let sentinel = Sentinel::watching(master.port);
    let config = RedisConfig {
        addresses: vec![
            format!("redis://127.0.0.1:{}", free_port()),
            format!("redis://127.0.0.1:{}", sentinel.port),
        ],
        sentinel_master: Some("trail".to_owned()),
        ..master.config()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let broker = loop {
        match RedisBroker::connect(config.clone()).await {
            Ok(broker) => break broker,
            Err(error) => assert!(error.is_transient() && Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // Sentinel must have seen the replica, and the replica the chunks, before the master dies.
    broker.append((0..5).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    while !master.cli(&["INFO", "replication"]).contains("state=online")
        || replica.cli(&["HGET", "{rastro}:ends", "0000000000000001"]).trim().is_empty()
        || !sentinel_sees_replica(sentinel.port)
    {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    master.kill();
    broker.append((5..8).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    assert!(replica.cli(&["INFO", "replication"]).contains("role:master"));
    assert_eq!(lines_of(1, &take_all(&broker).await), (0..8).collect::<Vec<_>>());

    let unknown = RedisConfig { sentinel_master: Some("none".to_owned()), ..config };
    let error = RedisBroker::connect(unknown).await.unwrap_err().to_string();
    assert!(error.contains("no master named `none`"), "{error}");
}

fn sentinel_sees_replica(port: u16) -> bool {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string(), "SENTINEL", "REPLICAS", "trail"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).contains("127.0.0.1:")
}
