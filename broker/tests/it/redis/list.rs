//! Lists as Filebeat fills and Logstash reads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rastro_broker::{Broker, BrokerError, Delivery, ListBroker, ListConfig, RedisConfig, RedisError};
use rastro_model::{Position, StreamId};
use serde_json::Value;

use super::server::{PASSWORD, Proxy, Server};
use crate::chunk;

fn config(server: &Server) -> ListConfig {
    ListConfig {
        redis: server.config(),
        key: "k8s".to_owned(),
        node: "worker-0".to_owned(),
        limit_documents: 0,
    }
}

async fn open(server: &Server) -> ListBroker {
    ListBroker::connect(config(server)).await.unwrap()
}

/// A document as Filebeat 7.13 sends it.
fn filebeat(path: &str, offset: usize, message: &str) -> String {
    let message = serde_json::to_string(message).unwrap();
    format!(
        r#"{{"@timestamp":"2022-03-31T18:13:20.123Z","@metadata":{{"beat":"filebeat","type":"_doc","version":"7.13.4"}},"message":{message},"log":{{"offset":{offset},"file":{{"path":"{path}"}}}},"input":{{"type":"log"}},"ecs":{{"version":"1.8.0"}},"host":{{"mac":["02:42:c0:a8:ca:03"],"hostname":"worker-0","architecture":"x86_64","name":"worker-0","ip":["192.168.202.3"],"os":{{"platform":"debian","type":"linux"}}}},"agent":{{"name":"worker-0","type":"filebeat","version":"7.13.4"}}}}"#
    )
}

/// A file of numbered lines as documents.
fn file(path: &str, lines: std::ops::Range<usize>) -> Vec<String> {
    lines.map(|line| filebeat(path, line * 10, &format!("{line:09}"))).collect()
}

fn push(server: &Server, documents: &[String]) {
    let mut client = Command::new("redis-cli")
        .env("REDISCLI_AUTH", PASSWORD)
        .args(["-h", "127.0.0.1", "-p", &server.port.to_string(), "--pipe"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    for document in documents {
        write!(input, "*3\r\n$5\r\nRPUSH\r\n$3\r\nk8s\r\n${}\r\n{document}\r\n", document.len()).unwrap();
    }
    drop(input);
    assert!(client.wait().unwrap().success());
}

/// What has come of each file, as lines; checks that chunks follow one another.
#[derive(Default)]
struct Arrived {
    ends: BTreeMap<StreamId, (Position, u64)>,
    lines: BTreeMap<String, Vec<String>>,
}

impl Arrived {
    fn note(&mut self, deliveries: &[Delivery]) {
        for Delivery { chunk, .. } in deliveries {
            let (end, next_line) = self.ends.get(&chunk.stream).copied().unwrap_or_default();
            if chunk.end <= end {
                // Delivered again.
                continue;
            }
            assert_eq!((chunk.previous, chunk.first_line), (end, next_line));
            self.ends.insert(chunk.stream, (chunk.end, chunk.first_line + u64::from(chunk.lines)));
            let mut text = Vec::new();
            chunk.payload.decompress(&mut text).unwrap();
            let lines = self.lines.entry(String::from_utf8_lossy(&chunk.path).into_owned()).or_default();
            lines.extend(String::from_utf8_lossy(&text).lines().map(str::to_owned));
        }
    }

    /// Takes and acknowledges until so many lines are there.
    async fn take(&mut self, broker: &ListBroker, lines: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.count() < lines {
            assert!(Instant::now() < deadline, "{} of {lines} lines came", self.count());
            let taken = broker.take(1 << 20, Duration::from_millis(200)).await.unwrap();
            self.note(&taken);
            broker.acknowledge(&taken.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await.unwrap();
        }
    }

    fn count(&self) -> usize {
        self.lines.values().map(Vec::len).sum()
    }

    fn of(&self, path: &str) -> &[String] {
        self.lines.get(path).map_or(&[], Vec::as_slice)
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|line| format!("{line:09}")).collect()
}

/// What lies in the list, as Logstash would take it.
fn listed(server: &Server) -> Vec<Value> {
    server
        .cli(&["LRANGE", "k8s", "0", "-1"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn t_1_3_what_is_written_has_all_members_of_filebeats_documents_and_no_other_but_rastro() {
    let Some(server) = Server::start() else { return };
    let broker = open(&server).await;
    broker.append(vec![chunk(1, 0, 2), chunk(1, 2, 3)]).await.unwrap();
    let found = listed(&server);
    let sample: Value = serde_json::from_str(
        r#"{"@timestamp":"","@metadata":{"beat":"","type":"","version":""},"ecs":{"version":""},
        "host":{"mac":[],"hostname":"","architecture":"","name":"","id":"","containerized":false,"ip":[],
        "os":{"platform":"","version":"","family":"","name":"","kernel":"","codename":"","type":""}},
        "agent":{"hostname":"","ephemeral_id":"","id":"","name":"","type":"","version":""},
        "log":{"offset":0,"file":{"path":""}},"message":"","input":{"type":""},"rastro":{"generation":0,"length":0,"header":""}}"#,
    )
    .unwrap();
    for (line, document) in found.iter().enumerate() {
        assert_eq!(shape(document), shape(&sample));
        assert_eq!(document["message"], format!("{line:09}"));
        assert_eq!(document["log"]["offset"], line * 10);
        assert_eq!(document["host"]["name"], "worker-0");
    }
    assert_eq!(found.len(), 3);
    let end = broker.stream_end(StreamId(1)).await.unwrap().unwrap();
    assert_eq!((end.position, end.next_line), (Position::new(0, 30), 3));
    // Sent again, it is there once.
    broker.append(vec![chunk(1, 0, 2), chunk(1, 2, 3)]).await.unwrap();
    assert_eq!(listed(&server).len(), 3);
    let error = broker.append(vec![chunk(1, 5, 6)]).await.unwrap_err();
    assert!(matches!(error, BrokerError::OutOfOrder { .. }), "{error}");
}

/// The names of all members, and the kinds of their values.
fn shape(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| shape(value).into_iter().map(move |rest| format!("{key}.{rest}")))
            .collect(),
        Value::Array(_) => ["array".to_owned()].into(),
        Value::String(_) => ["text".to_owned()].into(),
        Value::Number(_) => ["number".to_owned()].into(),
        Value::Bool(_) => ["flag".to_owned()].into(),
        Value::Null => ["nothing".to_owned()].into(),
    }
}

#[tokio::test]
async fn a_full_list_makes_append_wait_until_somebody_reads() {
    let Some(server) = Server::start() else { return };
    let broker =
        Arc::new(ListBroker::connect(ListConfig { limit_documents: 10, ..config(&server) }).await.unwrap());
    broker.append(vec![chunk(1, 0, 8)]).await.unwrap();
    let appending = {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move { broker.append(vec![chunk(1, 8, 12)]).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!appending.is_finished());
    assert_eq!(server.cli(&["LPOP", "k8s", "3"]).lines().count(), 3);
    appending.await.unwrap().unwrap();
    assert_eq!(listed(&server).len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_and_a_killed_redis_neither_lose_nor_repeat_a_document() {
    let Some(mut server) = Server::start() else { return };
    let proxy = Proxy::to(server.port);
    let mut list = config(&server);
    list.redis.addresses = vec![format!("redis://127.0.0.1:{}", proxy.port)];
    let broker = Arc::new(ListBroker::connect(list).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (broker, stop) = (Arc::clone(&broker), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut line = 0;
            // However slow the machine is: so few would prove nothing.
            while line < 100 || !stop.load(Ordering::Relaxed) {
                broker.append(vec![chunk(1, line, line + 3), chunk(1, line + 3, line + 5)]).await.unwrap();
                line += 5;
            }
            line as usize
        })
    };
    for round in 0..25_u64 {
        tokio::time::sleep(Duration::from_millis(60 + round * 7 % 40)).await;
        proxy.cut();
        if round % 10 == 9 {
            server.kill();
            server.restart();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    let messages: Vec<String> =
        listed(&server).iter().map(|document| document["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(messages, numbers(0..written));
}

#[tokio::test]
async fn what_filebeat_sent_is_taken_as_chunks_and_leaves_the_list() {
    let Some(server) = Server::start() else { return };
    let (one, other) = ("/var/log/sysdig/0123456789ab.log", "/var/log/sysdig/ba9876543210.log");
    let mut documents = file(one, 0..300);
    documents.extend(file(other, 0..100));
    documents.extend(file(one, 300..400));
    push(&server, &documents);
    let broker = open(&server).await;
    let mut arrived = Arrived::default();
    arrived.take(&broker, 500).await;
    assert_eq!(arrived.of(one), numbers(0..400));
    assert_eq!(arrived.of(other), numbers(0..100));
    let depth = broker.depth().await.unwrap();
    assert_eq!((depth.chunks, depth.bytes), (0, 0));
    for key in ["k8s", "{k8s}:taken"] {
        assert_eq!(server.cli(&["LLEN", key]).trim(), "0");
    }
    // More comes while somebody waits for it.
    let begun = Instant::now();
    push(&server, &file(one, 400..401));
    arrived.take(&broker, 501).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(arrived.of(one), numbers(0..401));
}

#[tokio::test]
async fn rubbish_between_documents_becomes_lines_of_its_own_and_stops_nothing() {
    let Some(server) = Server::start() else { return };
    let path = "/var/log/sysdig/0123456789ab.log";
    let mut documents = file(path, 0..2);
    documents.extend(["rubbish".to_owned(), "{\"message\":7}".to_owned(), String::new()]);
    documents.extend(file(path, 2..3));
    documents.push(filebeat(path, 30, "one\ntwo"));
    push(&server, &documents);
    let broker = open(&server).await;
    let mut arrived = Arrived::default();
    arrived.take(&broker, 7).await;
    assert_eq!(arrived.of(path), numbers(0..3));
    let strange = arrived.of("/redis/k8s");
    assert_eq!(&strange[..3], ["rubbish", "{\"message\":7}", ""]);
    assert!(strange[3].contains("one\\ntwo"), "{strange:?}");
    assert_eq!(broker.depth().await.unwrap().chunks, 0);
}

#[tokio::test]
async fn a_document_of_absurd_size_is_put_aside() {
    let Some(server) = Server::start() else { return };
    let path = "/var/log/sysdig/0123456789ab.log";
    let mut documents = file(path, 0..1);
    documents.push("x".repeat(20 * 1024 * 1024));
    documents.extend(file(path, 1..2));
    push(&server, &documents);
    let broker = open(&server).await;
    let mut arrived = Arrived::default();
    arrived.take(&broker, 2).await;
    assert_eq!(arrived.of(path), numbers(0..2));
    assert_eq!(server.cli(&["LLEN", "{k8s}:aside"]).trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_die_in_the_middle_lose_and_repeat_nothing() {
    let Some(server) = Server::start() else { return };
    let paths = ["/logs/0123456789ab.log", "/logs/ba9876543210.log"];
    let mut arrived = Arrived::default();
    let mut written = 0;
    for round in 0..6_u64 {
        for path in paths {
            push(&server, &file(path, written..written + 500));
        }
        written += 500;
        let broker = open(&server).await;
        let deadline = Instant::now() + Duration::from_millis(100 + round * 150);
        while Instant::now() < deadline {
            let taken = broker.take(1000, Duration::from_millis(20)).await.unwrap();
            arrived.note(&taken);
            // Every other one dies with what it has in hand.
            if round % 2 == 0 {
                broker
                    .acknowledge(&taken.iter().map(|delivery| delivery.id).collect::<Vec<_>>())
                    .await
                    .unwrap();
            }
        }
        // Dropped, it dies without a word: its lock and its leases are still there.
        drop(broker);
    }
    let broker = open(&server).await;
    arrived.take(&broker, written * 2).await;
    for path in paths {
        assert_eq!(arrived.of(path), numbers(0..written));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while broker.depth().await.unwrap().chunks > 0 {
        assert!(Instant::now() < deadline);
        let taken = broker.take(1 << 20, Duration::from_millis(100)).await.unwrap();
        arrived.note(&taken);
        broker.acknowledge(&taken.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await.unwrap();
    }
    assert_eq!(arrived.count(), written * 2);
}

#[tokio::test]
async fn one_reader_reads_and_the_next_goes_on_when_it_leaves() {
    let Some(server) = Server::start() else { return };
    let path = "/logs/0123456789ab.log";
    let lease = Duration::from_secs(30);
    let slow = ListConfig { redis: RedisConfig { lease, ..server.config() }, ..config(&server) };
    let (first, second) =
        (ListBroker::connect(slow.clone()).await.unwrap(), ListBroker::connect(slow).await.unwrap());
    push(&server, &file(path, 0..10));
    let mut arrived = Arrived::default();
    arrived.take(&first, 10).await;
    first.close().await;
    push(&server, &file(path, 10..20));
    arrived.take(&second, 20).await;
    assert_eq!(arrived.of(path), numbers(0..20));
}

#[tokio::test]
async fn what_our_shipper_writes_our_reader_reads_with_its_places_and_header() {
    let Some(server) = Server::start() else { return };
    let broker = open(&server).await;
    broker.append((0..20).map(|line| chunk(1, line * 3, line * 3 + 3)).collect()).await.unwrap();
    let mut chunks = Vec::new();
    while chunks.iter().map(|delivery: &Delivery| delivery.chunk.lines).sum::<u32>() < 60 {
        chunks.extend(broker.take(1 << 20, Duration::from_secs(1)).await.unwrap());
    }
    let (first, last) = (&chunks[0].chunk, &chunks[chunks.len() - 1].chunk);
    assert_eq!((first.start, last.end), (Position::new(0, 0), Position::new(0, 600)));
    assert_eq!(first.header.as_deref(), Some(b"#rastro {}\n".as_slice()));
    // The name of the file was not UTF-8: a list cannot give it back.
    assert_eq!(first.path, "/var/log/rastro/\u{fffd}.log".as_bytes());
}

#[tokio::test]
async fn a_full_queue_leaves_documents_where_they_are() {
    let Some(server) = Server::start() else { return };
    let list = ListConfig { redis: RedisConfig { limit_bytes: 1, ..server.config() }, ..config(&server) };
    let broker = ListBroker::connect(list).await.unwrap();
    let path = "/logs/0123456789ab.log";
    push(&server, &file(path, 0..10_000));
    let first = loop {
        let taken = broker.take(1 << 20, Duration::from_millis(200)).await.unwrap();
        if !taken.is_empty() {
            break taken;
        }
    };
    push(&server, &file(path, 10_000..10_010));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waiting = |key: &str| server.cli(&["LLEN", key]).trim().parse::<usize>().unwrap();
    assert!(waiting("k8s") + waiting("{k8s}:taken") > 1000, "{} {}", waiting("k8s"), waiting("{k8s}:taken"));
    let mut arrived = Arrived::default();
    arrived.note(&first);
    broker.acknowledge(&first.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await.unwrap();
    arrived.take(&broker, 10_010).await;
    assert_eq!(arrived.of(path), numbers(0..10_010));
}

#[tokio::test]
async fn a_list_key_of_another_type_is_named() {
    let Some(server) = Server::start() else { return };
    server.cli(&["SET", "k8s", "x"]);
    let error = ListBroker::connect(config(&server)).await.unwrap_err();
    assert!(
        matches!(error, RedisError::WrongType { .. })
            && error.to_string().contains("`k8s` is of the type string, not list"),
        "{error}"
    );
    // One that appears while it works.
    let other = ListConfig { key: "other".to_owned(), ..config(&server) };
    let broker = ListBroker::connect(other).await.unwrap();
    server.cli(&["SET", "other", "x"]);
    let error = broker.append(vec![chunk(1, 0, 1)]).await.unwrap_err().to_string();
    assert!(error.contains("`other` is of the type string"), "{error}");
    let error = loop {
        match broker.take(1, Duration::from_millis(50)).await {
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("`other` is of the type string"), "{error}");
    let error =
        ListBroker::connect(ListConfig { key: "{x}".to_owned(), ..config(&server) }).await.unwrap_err();
    assert!(error.to_string().contains("list_key"), "{error}");
}

#[tokio::test]
async fn what_a_power_loss_takes_from_a_list_is_the_shippers_to_write_again() {
    let Some(mut server) = Server::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]) else {
        return;
    };
    let broker = open(&server).await;
    let mut regressions = broker.regressions();
    broker.append(vec![chunk(1, 0, 10), chunk(2, 0, 10)]).await.unwrap();
    let durable = server.append_only_length();
    let before = Instant::now();
    broker.append(vec![chunk(1, 10, 20)]).await.unwrap();
    assert!(broker.durable_before() <= before, "a moment later nothing is durable yet");
    server.lose_power(durable);
    // Told without anybody appending to the stream.
    tokio::time::timeout(Duration::from_secs(20), regressions.changed()).await.unwrap().unwrap();
    let error = broker.append(vec![chunk(1, 20, 21)]).await.unwrap_err();
    assert!(matches!(error, BrokerError::OutOfOrder { .. }), "{error}");
    let next = broker.stream_end(StreamId(1)).await.unwrap().unwrap().next_line;
    assert_eq!(next, 10);
    broker.append(vec![chunk(1, next, 21), chunk(2, 10, 11)]).await.unwrap();
    assert_eq!(listed(&server).len(), 32);
    let deadline = Instant::now() + Duration::from_secs(20);
    let appended = Instant::now();
    while broker.durable_before() < appended {
        assert!(Instant::now() < deadline, "it never becomes durable");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
