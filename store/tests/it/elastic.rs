//! What is special about a server: it refuses, it is away, it answers late, and others use it too.

use std::{sync::Arc, time::Duration};

use elasticsearch::http::Method;
use rastro_model::{Position, StreamId, Tally};
use rastro_store::{
    AnalysisBatch, ChunkOutput, Columns, Rendered, RenderedKind, Store, StoreError,
    elastic::{ElasticConfig, ElasticStore, Gravity, Secret},
};
use serde_json::json;

use crate::{home::Home, proxy::Proxy, tally};

/// Numbers of the calls of stream 1 as they are stored, in the order of the index.
async fn stored_numbers(store: &dyn Store, home: &Home) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut place = 0;
    loop {
        let page = store.segments(&home.index(), place, 10_000, Columns::All).await.unwrap();
        let Some(last) = page.last() else { return numbers };
        place = last.place;
        numbers.extend(page.into_iter().flat_map(|stored| stored.segment.calls.number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_one_sentence_without_the_password() {
    let Some(home) = Home::elastic() else { return };
    let config = ElasticConfig { password: Some(Secret::new("not-the-password")), ..home.config() };
    let error = ElasticStore::connect(config).await.unwrap_err();
    let text = error.to_string();
    assert!(!error.is_transient() && text.contains("401") && text.contains("store.password_file"), "{text}");
    assert!(!text.contains("not-the-password"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = ElasticConfig { urls: vec![format!("http://127.0.0.1:{port}")], ..ElasticConfig::default() };
    let error = ElasticStore::connect(config).await.unwrap_err();
    let text = error.to_string();
    assert!(
        error.is_transient() && text.contains(&port.to_string()) && text.contains("`store.urls`"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_that_is_away_does_not_keep_the_others_from_being_used() {
    let Some(home) = Home::elastic() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = home.config();
    config.urls.insert(0, format!("http://127.0.0.1:{port}"));
    let store = ElasticStore::connect(config).await.unwrap();
    store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), tally(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_of_someone_else_is_named_and_left_alone_and_nothing_is_lost() {
    let Some(home) = Home::elastic() else { return };
    let path = format!("/{}", home.index());
    let foreign = json!({ "mappings": { "properties": { "price": { "type": "float" } } } });
    assert_eq!(home.server().ask(Method::Put, &path, Some(foreign)).await.0, 200);
    let store = home.open_elastic().await;
    let error = store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap_err();
    let text = error.to_string();
    assert!(
        !error.is_transient() && text.contains(&home.index()) && text.contains("not made by Rastro"),
        "{text}"
    );
    assert_eq!(store.stream_end(StreamId(1)).await.unwrap(), None);
    let (_, mapping) = home.server().ask(Method::Get, &format!("{path}/_mapping"), None).await;
    let properties = &mapping[home.index()]["mappings"]["properties"];
    assert_eq!(properties, &json!({ "price": { "type": "float" } }));

    home.server().ask(Method::Delete, &path, None).await;
    assert_eq!(store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap().written, 1);
    assert_eq!(stored_numbers(&store, &home).await, (1..=10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_a_full_disk_made_read_only_is_waited_for() {
    let Some(home) = Home::elastic() else { return };
    let store = home.open_elastic().await;
    store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
    let home = &home;
    let block = |value: serde_json::Value| {
        let body = json!({ "index.blocks.read_only_allow_delete": value });
        let path = format!("/{}/_settings", home.index());
        async move { home.server().ask(Method::Put, &path, Some(body)).await }
    };
    block(json!(true)).await;
    let error = store.write_chunks(&[home.chunk(1, 10, 20)]).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("make room"), "{error}");
    assert!(
        !ElasticStore::checks(home.config()).await.iter().all(|finding| finding.gravity == Gravity::Fine)
    );
    block(serde_json::Value::Null).await;
    store.write_chunks(&[home.chunk(1, 10, 20)]).await.unwrap();
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), tally(20));
    assert_eq!(stored_numbers(&store, home).await, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_of_the_same_chunks_store_them_once_and_in_order() {
    let Some(home) = Home::elastic() else { return };
    let home = Arc::new(home);
    let write = |store: ElasticStore, batch: u64| {
        let home = Arc::clone(&home);
        tokio::spawn(async move {
            let mut written = 0;
            for first in (0..24).step_by(batch as usize) {
                let chunks: Vec<ChunkOutput> =
                    (first..(first + batch).min(24)).map(|n| home.chunk(1, n * 10, n * 10 + 10)).collect();
                written += store.write_chunks(&chunks).await.unwrap().written;
            }
            written
        })
    };
    let (one, other) = (write(home.open_elastic().await, 2), write(home.open_elastic().await, 3));
    let written = one.await.unwrap() + other.await.unwrap();
    let store = home.open_elastic().await;
    assert_eq!(written, 24, "each chunk is written by one of them");
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), tally(240));
    assert_eq!(stored_numbers(&store, &home).await, (1..=240).collect::<Vec<_>>());
    assert_eq!(store.rollups(&home.index()).await.unwrap()[0].count, 240);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_anywhere_lose_nothing_and_double_nothing() {
    let Some(home) = Home::elastic() else { return };
    let proxy = Proxy::start(home.server().address()).await;
    let urls = vec![format!("http://{}", proxy.address)];
    let config = || ElasticConfig { urls: urls.clone(), ..home.config() };
    let mut store = ElasticStore::connect(config()).await.unwrap();
    let mut random = 0x9e37_79b9_u64;
    for number in 0..30_u64 {
        let chunks =
            [home.chunk(1, number * 50, number * 50 + 50), home.chunk(2, number * 50, number * 50 + 50)];
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        proxy.cut_after(300 + (random >> 33) % 12_000);
        if number % 3 == 0 {
            // A process that starts again, on a connection that will be cut.
            store = loop {
                match ElasticStore::connect(config()).await {
                    Ok(store) => break store,
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
                proxy.cut_after(u64::MAX);
            };
        }
        while let Err(error) = store.write_chunks(&chunks).await {
            assert!(error.is_transient(), "{error}");
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            proxy.cut_after(if random >> 62 == 0 { u64::MAX } else { 300 + (random >> 33) % 40_000 });
        }
    }
    assert!(proxy.cuts() > 10, "{} cuts prove little", proxy.cuts());
    let store = home.open_elastic().await;
    for stream in [1, 2] {
        assert_eq!(store.stream_tally(StreamId(stream)).await.unwrap(), tally(1_500));
    }
    let mut next = [1_u64, 1];
    for stored in store.segments(&home.index(), 0, usize::MAX, Columns::All).await.unwrap() {
        let next = &mut next[stored.segment.id.stream.0 as usize - 1];
        assert_eq!(stored.segment.gap, None);
        for number in stored.segment.calls.number {
            assert_eq!(number, *next);
            *next += 1;
        }
    }
    assert_eq!(next, [1_501, 1_501]);
    assert_eq!(store.rollups(&home.index()).await.unwrap()[0].count, 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_a_chunk_that_no_ledger_knows_are_taken_in_before_other_borders() {
    let Some(home) = Home::elastic() else { return };
    let store = home.open_elastic().await;
    store.write_chunks(&[home.chunk(1, 0, 10), home.chunk(1, 10, 20)]).await.unwrap();
    // As if the writer had died between the documents and the ledger, and the queue had been lost with its borders.
    let ledger = format!("/{}-streams/_doc/{}", home.config().prefix, StreamId(1));
    assert_eq!(home.server().ask(Method::Delete, &ledger, None).await.0, 200);
    let store = home.open_elastic().await;
    let mut known = Position::START;
    for _ in 0..2 {
        let from = known.offset / 10;
        let error = store.write_chunks(&[home.chunk(1, from, 25)]).await.unwrap_err();
        let StoreError::Overlap { stream, known: behind, next_line } = error else { panic!("{error}") };
        assert_eq!((stream, next_line), (StreamId(1), behind.offset / 10));
        assert!(behind > known);
        known = behind;
    }
    assert_eq!(known, Position::new(0, 200));
    store.write_chunks(&[home.chunk(1, 20, 25)]).await.unwrap();
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), tally(25));
    assert_eq!(stored_numbers(&store, &home).await, (1..=25).collect::<Vec<_>>());
}

fn rendered(chunk: &ChunkOutput, documents: &[String]) -> Rendered {
    let mut rendered = Rendered {
        kind: RenderedKind::Call,
        segment: chunk.segments[0].id,
        id_prefix: format!("{}-", chunk.segments[0].id),
        bytes: Vec::new(),
        ends: Vec::new(),
    };
    for document in documents {
        rendered.bytes.extend_from_slice(document.as_bytes());
        rendered.ends.push(rendered.bytes.len() as u32);
    }
    rendered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_calls_are_numbers_even_as_texts_and_those_that_do_not_fit_are_kept_aside() {
    let Some(home) = Home::elastic() else { return };
    let store = home.open_elastic().await;
    let mut chunk = home.chunk(1, 0, 3);
    let call = |latency: &str| {
        format!(r#"{{"@timestamp":"2022-03-31T18:13:16.977Z","latency":"{latency}","argc":65535}}"#)
    };
    chunk.rendered = vec![rendered(&chunk, &[call("7"), call("not a number"), call("5")])];
    for _ in 0..2 {
        store.write_chunks(std::slice::from_ref(&chunk)).await.unwrap();
    }
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), tally(3));
    let events = format!("/{}-events", home.index());
    home.server().ask(Method::Post, &format!("{events}/_refresh"), None).await;
    let sum = json!({ "size": 0, "aggs": { "latency": { "sum": { "field": "latency" } } } });
    let (_, answer) = home.server().ask(Method::Post, &format!("{events}/_search"), Some(sum)).await;
    assert_eq!(answer["aggregations"]["latency"]["value"], json!(12.0), "{answer}");
    assert_eq!(answer["hits"]["total"]["value"], json!(2), "{answer}");
    // It has a column and no search tree: slower to look up, and found all the same.
    let slow = json!({ "size": 0, "query": { "range": { "latency": { "gt": 5 } } } });
    let (_, answer) = home.server().ask(Method::Post, &format!("{events}/_search"), Some(slow)).await;
    assert_eq!(answer["hits"]["total"]["value"], json!(1), "{answer}");
    let letters = format!("/{}-dead-letters", home.config().prefix);
    home.server().ask(Method::Post, &format!("{letters}/_refresh"), None).await;
    let (_, answer) = home.server().ask(Method::Get, &format!("{letters}/_search"), None).await;
    let letter = &answer["hits"]["hits"][0]["_source"];
    assert!(letter["reason"].as_str().unwrap().contains("latency"), "{answer}");
    assert!(letter["message"].as_str().unwrap().contains("not a number"), "{answer}");
    assert_eq!(letter["dataset"], json!(chunk.dataset), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_of_two_hundred_megabytes_is_kept_aside_and_holds_up_nothing() {
    let Some(home) = Home::elastic() else { return };
    let store = home.open_elastic().await;
    let mut chunk = home.chunk(1, 0, 3);
    let huge = format!(r#"{{"message":"{}"}}"#, "x".repeat(200 * 1024 * 1024));
    chunk.rendered = vec![rendered(&chunk, &[r#"{"argc":1}"#.to_owned(), huge, r#"{"argc":2}"#.to_owned()])];
    let writing = store.write_chunks(std::slice::from_ref(&chunk));
    tokio::time::timeout(Duration::from_mins(3), writing).await.expect("no endless loop").unwrap();
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), tally(3));
    let letters = format!("/{}-dead-letters", home.config().prefix);
    home.server().ask(Method::Post, &format!("{letters}/_refresh"), None).await;
    let (_, answer) = home.server().ask(Method::Get, &format!("{letters}/_search"), None).await;
    let reason = answer["hits"]["hits"][0]["_source"]["reason"].as_str().unwrap();
    assert!(reason.contains("larger than"), "{reason}");
}

fn at(home: &Home, place: u64, state: &[u8]) -> AnalysisBatch {
    AnalysisBatch {
        job: "live".into(),
        index: home.index(),
        scores: Vec::new(),
        alarms: Vec::new(),
        place: Some((place, state.to_vec())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_analyzers_the_second_to_write_a_place_is_told_so() {
    let Some(home) = Home::elastic() else { return };
    let (one, other) = (home.open_elastic().await, home.open_elastic().await);
    one.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
    for store in [&one, &other] {
        assert_eq!(store.place("live", &home.index()).await.unwrap(), None);
    }
    one.write_analysis(&at(&home, 1, b"one")).await.unwrap();
    one.write_analysis(&at(&home, 2, b"one again")).await.unwrap();
    let error = other.write_analysis(&at(&home, 1, b"other")).await.unwrap_err();
    assert!(matches!(error, StoreError::Superseded { .. }), "{error}");
    assert_eq!(other.place("live", &home.index()).await.unwrap(), Some((2, b"one again".to_vec())));
    other.write_analysis(&at(&home, 3, b"other")).await.unwrap();
    assert!(matches!(one.write_analysis(&at(&home, 4, b"one")).await, Err(StoreError::Superseded { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_one_owners_until_it_is_given_up_or_not_renewed() {
    let Some(home) = Home::elastic() else { return };
    let (one, other) = (home.open_elastic().await, home.open_elastic().await);
    let index = home.index();
    let lease = Duration::from_millis(1500);
    assert!(one.claim("live", &index, "one", lease).await.unwrap());
    assert!(one.claim("live", &index, "one", lease).await.unwrap(), "renewed");
    assert!(!other.claim("live", &index, "other", lease).await.unwrap());
    one.release_claim("live", &index, "one").await.unwrap();
    assert!(other.claim("live", &index, "other", lease).await.unwrap());
    assert!(!one.claim("live", &index, "one", lease).await.unwrap());
    // Not renewed for as long as a lease lasts, whatever any clock says.
    tokio::time::sleep(lease + Duration::from_millis(300)).await;
    assert!(one.claim("live", &index, "one", lease).await.unwrap());
    assert!(!other.claim("live", &index, "other", lease).await.unwrap(), "it is told that it lost it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_layout_is_refused_until_it_is_migrated_and_a_newer_one_is_left_alone() {
    let Some(home) = Home::elastic() else { return };
    let server = home.server();
    let store = home.open_elastic().await;
    store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
    let before = store.datasets().await.unwrap();
    assert_eq!(ElasticStore::migrate(home.config(), false).await.unwrap(), []);

    // Version 0 had neither numbers of its own nor this field.
    let index = home.index();
    let mark = |version: u64| json!({ "_meta": { "rastro": { "version": version, "kind": "segments", "dataset": home.dataset() } } });
    let (index, mark) = (&index, &mark);
    let set_version = |version: u64| {
        let path = format!("/{index}/_mapping");
        let body = mark(version);
        async move { server.ask(Method::Put, &path, Some(body)).await }
    };
    assert_eq!(set_version(0).await.0, 200);
    let error = ElasticStore::connect(home.config()).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("rastro migrate"), "{error}");
    let planned = ElasticStore::migrate(home.config(), true).await.unwrap();
    assert!(ElasticStore::connect(home.config()).await.is_err(), "a trial changes nothing");
    let done = ElasticStore::migrate(home.config(), false).await.unwrap();
    assert_eq!(planned, done);
    assert_eq!((done.len(), done[0].from, done[0].what.contains(index.as_str())), (1, Some(0), true));
    assert_eq!(home.open_elastic().await.datasets().await.unwrap(), before);

    assert_eq!(set_version(99).await.0, 200);
    for error in [
        ElasticStore::connect(home.config()).await.unwrap_err(),
        ElasticStore::migrate(home.config(), false).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("layout 99") && error.to_string().contains("later"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_larger_than_a_document_comes_back_whole() {
    use rastro_model::ProfileRef;
    use rastro_store::{Profile, ProfileSummary};
    let Some(home) = Home::elastic() else { return };
    let store = home.open_elastic().await;
    let bytes: Vec<u8> =
        (0..20 * 1024 * 1024_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let summary = ProfileSummary {
        profile: ProfileRef { name: "registry.example/web@sha256:1".into(), version: 0 },
        created_ns: 5,
        models: vec!["stide:6".into()],
        calls: 7,
        bytes: 0,
    };
    assert_eq!(store.put_profile(&Profile { summary, bytes: bytes.clone() }).await.unwrap(), 1);
    let stored = store.profile("registry.example/web@sha256:1", None).await.unwrap();
    assert!(stored.bytes == bytes && stored.summary.bytes == bytes.len() as u64);
    assert_eq!(store.delete_profile("registry.example/web@sha256:1", None).await.unwrap(), 1);
    assert!(store.profile("registry.example/web@sha256:1", Some(1)).await.is_err());
    assert_eq!(store.stream_tally(StreamId(9)).await.unwrap(), Tally::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_removed_and_made_anew_is_read_from_its_beginning() {
    let Some(home) = Home::elastic() else { return };
    let (store, reader) = (home.open_elastic().await, home.open_elastic().await);
    let chunks: Vec<_> = (0..5).map(|number| home.chunk(1, number * 10, number * 10 + 10)).collect();
    store.write_chunks(&chunks).await.unwrap();
    let place = reader.segments(&home.index(), 0, usize::MAX, Columns::All).await.unwrap()[4].place;
    store.delete_dataset(&home.dataset()).await.unwrap();
    store.write_chunks(&[home.chunk(1, 50, 60), home.chunk(1, 60, 70)]).await.unwrap();
    // What was read before is no place in this one.
    let error = reader.segments(&home.index(), place, usize::MAX, Columns::All).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { kind: "index", .. }), "{error}");
    let again = reader.segments(&home.index(), 0, usize::MAX, Columns::All).await.unwrap();
    assert_eq!(again.iter().map(|stored| stored.segment.id.start.offset).collect::<Vec<_>>(), [500, 600]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_is_told_how_the_server_is() {
    let Some(home) = Home::elastic() else { return };
    let store = home.open_elastic().await;
    store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
    let findings = ElasticStore::checks(home.config()).await;
    let gravity = |subject: &str| {
        findings.iter().find(|finding| finding.subject == subject).map(|finding| finding.gravity)
    };
    for subject in ["connection", "version", "layout", "templates"] {
        assert_eq!(gravity(subject), Some(Gravity::Fine), "{findings:?}");
    }
    assert!(gravity("room").is_some() && gravity("health").is_some(), "{findings:?}");
    let wrong = ElasticConfig { password: Some(Secret::new("not-the-password")), ..home.config() };
    let findings = ElasticStore::checks(wrong).await;
    assert!(findings.iter().any(|finding| finding.gravity == Gravity::Fault), "{findings:?}");
    assert!(!format!("{findings:?}").contains("not-the-password"), "{findings:?}");
}
