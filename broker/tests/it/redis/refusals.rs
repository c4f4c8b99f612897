//! What Redis refuses comes out as one clear sentence, without a secret in it; and what `doctor` warns of.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

use rastro_broker::{
    Broker, RedisBroker, RedisConfig, RedisError,
    redis::{CheckLevel, Secret},
};

use super::{
    acknowledge_all, lines_of,
    server::{PASSWORD, Server, free_port},
    take_all,
};
use crate::chunk;

async fn refusal(config: RedisConfig) -> RedisError {
    let error = RedisBroker::connect(config).await.unwrap_err();
    let text = error.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("wrong-one") && !text.contains('\n'), "{text}");
    eprintln!("{text}");
    error
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_told_and_never_printed() {
    let Some(server) = Server::start() else { return };
    let address = format!("127.0.0.1:{}", server.port);
    for config in [
        RedisConfig { password: Some(Secret::new("wrong-one")), ..server.config() },
        RedisConfig { password: None, ..server.config() },
        RedisConfig { username: Some("nobody".to_owned()), ..server.config() },
        RedisConfig {
            password: None,
            addresses: vec![format!("redis://default:wrong-one@{address}")],
            ..server.config()
        },
    ] {
        assert!(!format!("{config:?}").contains("wrong-one"));
        let error = refusal(config).await;
        assert!(matches!(error, RedisError::Authentication { .. }), "{error:?}");
        assert!(error.to_string().contains(&address) && !error.is_transient());
    }
}

#[tokio::test]
async fn a_password_comes_from_a_file_too() {
    let Some(server) = Server::start() else { return };
    let file = server.directory.path().join("password");
    let config = RedisConfig {
        password: Some(Secret::new("wrong-one")),
        password_file: Some(file.clone()),
        ..server.config()
    };
    let error = refusal(config.clone()).await;
    assert!(error.to_string().contains("password file"), "{error}");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    RedisBroker::connect(config).await.unwrap();
}

#[tokio::test]
async fn an_unreachable_host_and_a_port_of_another_program_are_told() {
    let config = RedisConfig {
        addresses: vec![format!("redis://127.0.0.1:{}", free_port())],
        ..RedisConfig::default()
    };
    let error = refusal(config).await;
    assert!(matches!(error, RedisError::Unreachable { .. }) && error.is_transient(), "{error:?}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 1000]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let config =
        RedisConfig { addresses: vec![format!("redis://127.0.0.1:{port}")], ..RedisConfig::default() };
    let error = refusal(config).await;
    assert!(matches!(error, RedisError::Unreachable { .. }), "{error:?}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = RedisConfig {
        addresses: vec![format!("redis://127.0.0.1:{}", silent.local_addr().unwrap().port())],
        connect_timeout: Duration::from_millis(200),
        ..RedisConfig::default()
    };
    let error = refusal(config).await;
    assert!(matches!(error, RedisError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_address_of_another_form_is_refused_without_its_password() {
    let config =
        RedisConfig { addresses: vec!["http://me:wrong-one@host".to_owned()], ..RedisConfig::default() };
    let error = refusal(config).await;
    assert!(error.to_string().contains("http://***@host"), "{error}");
}

#[tokio::test]
async fn a_key_of_another_type_is_named() {
    let Some(server) = Server::start() else { return };
    server.cli(&["RPUSH", "{rastro}:3:chunks", "x"]);
    let error = refusal(server.config()).await;
    for word in ["`{rastro}:3:chunks`", "list", "stream", "prefix"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    // One that appears while the broker works.
    let broker =
        RedisBroker::connect(RedisConfig { prefix: "other".to_owned(), ..server.config() }).await.unwrap();
    server.cli(&["SET", "{other}:3:chunks", "x"]);
    let error = broker.append(vec![chunk(3, 0, 1)]).await.unwrap_err().to_string();
    assert!(error.contains("`{other}:3:chunks` is of the type string"), "{error}");
    let error = broker.take(1, Duration::from_millis(10)).await.unwrap_err().to_string();
    assert!(error.contains("`{other}:3:chunks` is of the type string"), "{error}");
    // The others are not disturbed.
    assert_eq!(broker.append(vec![chunk(4, 0, 1)]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_redis_without_memory_makes_append_wait_and_loses_nothing() {
    let Some(server) = Server::start() else { return };
    let broker = Arc::new(server.open().await);
    broker.append((0..3).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let appending = {
        let broker = Arc::clone(&broker);
        tokio::spawn(
            async move { broker.append((3..6).map(|line| chunk(1, line, line + 1)).collect()).await },
        )
    };
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!appending.is_finished());
    let error = refusal(RedisConfig { prefix: "fresh".to_owned(), ..server.config() }).await;
    assert!(matches!(error, RedisError::OutOfMemory { .. }) && error.is_transient(), "{error:?}");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(appending.await.unwrap().unwrap(), 3);
    assert_eq!(lines_of(1, &take_all(&broker).await), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_user_with_the_documented_rights_is_enough_and_one_without_is_told() {
    let Some(server) = Server::start() else { return };
    let rights =
        ["+@read", "+@write", "+@stream", "+@scripting", "+@connection", "+time", "+info", "+config|get"];
    server.cli(&["ACL", "SETUSER", "shipper", "on", &format!(">{PASSWORD}"), "~*"]);
    let config = RedisConfig { username: Some("shipper".to_owned()), ..server.config() };
    let error = refusal(config.clone()).await;
    assert!(matches!(error, RedisError::Permission { .. }) && !error.is_transient(), "{error:?}");

    let mut grant = vec!["ACL", "SETUSER", "shipper", "resetkeys", "~{rastro}:*"];
    grant.extend(rights);
    assert_eq!(server.cli(&grant).trim(), "OK");
    let broker = RedisBroker::connect(config.clone()).await.unwrap();
    broker.append(vec![chunk(1, 0, 1)]).await.unwrap();
    let taken = take_all(&broker).await;
    acknowledge_all(&broker, &taken).await;
    assert_eq!(broker.depth().await.unwrap().chunks, 0);
    assert!(!broker.checks().await.unwrap().is_empty());
    broker.close().await;

    let error = refusal(RedisConfig { prefix: "elsewhere".to_owned(), ..config }).await;
    assert!(matches!(error, RedisError::Permission { .. }), "{error:?}");
}

#[tokio::test]
async fn keys_of_another_layout_are_refused_and_left_alone() {
    let Some(server) = Server::start() else { return };
    server.cli(&["HSET", "{rastro}:meta", "layout", "2", "partitions", "4"]);
    let error = refusal(server.config()).await;
    assert!(
        matches!(error, RedisError::Layout { .. }) && error.to_string().contains("version 2"),
        "{error:?}"
    );
    assert_eq!(server.cli(&["HGET", "{rastro}:meta", "layout"]).trim(), "2");
}

#[tokio::test]
async fn a_replica_is_told_from_a_master() {
    let Some(master) = Server::start() else { return };
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &master.port.to_string()]).unwrap();
    let error = refusal(replica.config()).await;
    assert!(error.to_string().contains("READONLY"), "{error:?}");
}

#[tokio::test]
async fn a_redis_that_would_lose_chunks_is_warned_of() {
    let Some(server) = Server::start_with(&["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"])
    else {
        return;
    };
    let checks = server.open().await.checks().await.unwrap();
    let level = |name| checks.iter().find(|check| check.name == name).map(|check| check.level);
    assert_eq!(level("persistence"), Some(CheckLevel::Warning), "{checks:?}");
    assert_eq!(level("eviction"), Some(CheckLevel::Warning), "{checks:?}");
    let sound = Server::start().unwrap();
    let checks = sound.open().await.checks().await.unwrap();
    let worst = checks.iter().filter(|check| check.name != "memory").map(|check| check.level).max();
    assert_eq!(worst, Some(CheckLevel::Good), "{checks:?}");
}
