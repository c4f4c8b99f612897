//! TLS, keys and compression: the way to the server.

use std::fs;

use rastro_model::StreamId;
use rastro_store::{
    Columns, Store,
    elastic::{ElasticConfig, ElasticStore, Secret},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::{between::Between, home::Home, own_server::OwnServer, tally};

/// An authority: its certificate, and what it signs with.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let text = parameters.self_signed(&key).unwrap().pem();
    (text, Issuer::new(parameters, key))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_believed_under_its_own_name_with_the_word_of_the_authority_that_signed_it() {
    let settings = "xpack.security.enabled: true\nxpack.security.http.ssl.enabled: true\n\
                    xpack.security.http.ssl.key: http.key\nxpack.security.http.ssl.certificate: http.crt\n\
                    xpack.security.authc.anonymous.username: anonymous\nxpack.security.authc.anonymous.roles: superuser";
    let Some(mut own) = OwnServer::new(settings) else { return };
    let (authority_text, issuer) = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer);
    fs::write(own.configuration().join("http.key"), key.serialize_pem()).unwrap();
    fs::write(own.configuration().join("http.crt"), certificate.unwrap().pem()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let right = file("right.pem", &authority_text);
    let url = format!("https://localhost:{}", own.port);
    let home = Home::on(own.start(&url).await);

    // As it should be; other certificates in the same file do no harm.
    let both = file("both.pem", &format!("{}{authority_text}", authority().0));
    for path in [&right, &both] {
        let config = ElasticConfig { ca_file: Some(path.clone()), ..home.config() };
        let store = ElasticStore::connect(config).await.unwrap();
        store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
        assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), tally(10));
    }

    let other = file("other.pem", &authority().0);
    let by_number = format!("https://127.0.0.1:{}", own.port);
    let garbage =
        file("garbage.pem", "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n");
    let text = file("text.pem", "no certificate at all");
    let missing = folder.path().join("missing.pem");
    for (ca_file, url, sentences) in [
        (None, &url, ["certificate of localhost", "set `store.ca_file`"]),
        (Some(&other), &url, ["certificate of localhost", "other.pem` has not signed it"]),
        (Some(&right), &by_number, ["certificate of 127.0.0.1", "it is for `localhost`"]),
        (Some(&garbage), &url, ["garbage.pem", "no certificate that can be read"]),
        (Some(&text), &url, ["text.pem", "no certificate that can be read"]),
        (Some(&missing), &url, ["missing.pem", "`store.ca_file`"]),
    ] {
        let config = ElasticConfig { urls: vec![url.clone()], ca_file: ca_file.cloned(), ..home.config() };
        let error = ElasticStore::connect(config).await.unwrap_err();
        let told = error.to_string();
        assert!(!error.is_transient() && sentences.iter().all(|part| told.contains(part)), "{told}");
        assert!(!told.contains('\n') && told.len() < 400, "{told}");
    }

    // The wrong scheme, both ways.
    let config = ElasticConfig { urls: vec![url.replace("https", "http")], ..home.config() };
    let told = ElasticStore::connect(config).await.unwrap_err().to_string();
    assert!(told.contains("begin with https://"), "{told}");
    if let Some(plain) = Home::elastic() {
        let urls = vec![plain.server().url.replace("http", "https")];
        let error = ElasticStore::connect(ElasticConfig { urls, ..plain.config() }).await.unwrap_err();
        let told = error.to_string();
        assert!(!error.is_transient() && told.contains("begin with http://"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_forms_of_an_api_key_are_sent_as_elasticsearch_wants_them_and_nothing_prints_them() {
    let Some(home) = Home::elastic() else { return };
    let between = Between::start(home.server()).await;
    // `printf 'VuaCfGcBCdbkQm:ui2lp2axTNmsyakw9tvNnw' | base64`
    let encoded = "VnVhQ2ZHY0JDZGJrUW06dWkybHAyYXhUTm1zeWFrdzl0dk5udw==";
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    for text in [encoded, "VuaCfGcBCdbkQm:ui2lp2axTNmsyakw9tvNnw\n"] {
        fs::write(&key_file, text).unwrap();
        let config = ElasticConfig {
            urls: vec![between.url.clone()],
            api_key_file: Some(key_file.clone()),
            ..home.config()
        };
        let before = between.seen().len();
        let store = ElasticStore::connect(config.clone()).await.unwrap();
        store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
        let seen = &between.seen()[before..];
        assert!(seen.iter().any(|request| request.path.starts_with("/_bulk")) || before > 0);
        for request in seen {
            assert_eq!(request.authorization.as_deref(), Some(format!("ApiKey {encoded}").as_str()));
        }
        assert_prints_nothing_of(&format!("{store:?} {config:?}"), &["VnVh", "VuaC", "ui2lp"]);
    }

    // The real server knows no such key, and this build cannot make one.
    let config = ElasticConfig { api_key_file: Some(key_file), ..home.config() };
    let error = ElasticStore::connect(config.clone()).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("store.api_key_file"), "{error}");
    let findings = ElasticStore::checks(config).await;
    assert_prints_nothing_of(&format!("{error} {error:?} {findings:?}"), &["VnVh", "VuaC", "ui2lp"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_printed_whatever_is_wrong_with_it() {
    let Some(home) = Home::elastic() else { return };
    let secrets = ["s3cret"];
    let key = |text: &str| ElasticConfig { api_key: Some(Secret::new(text)), ..home.config() };
    let address = |url: &str| ElasticConfig { urls: vec![url.replace("SECRET", "s3cret")], ..home.config() };
    for config in [
        key("s3cret"),
        key("with\ns3cret"),
        key("id:\u{0}s3cret"),
        address("https://elastic:SECRET@10.0.0.2:9200"),
        address("https://SECRET@10.0.0.2:9200"),
        address("elastic:SECRET@10.0.0.2:port"),
    ] {
        let error = ElasticStore::connect(config).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        assert_prints_nothing_of(&format!("{error} {error:?}"), &secrets);
    }
    let with_password = ElasticConfig { password: Some(Secret::new("s3cret")), ..home.config() };
    let error = ElasticStore::connect(with_password).await.unwrap_err();
    assert_prints_nothing_of(&format!("{error} {error:?}"), &secrets);
    let store = home.open_elastic().await;
    assert_prints_nothing_of(&format!("{store:?}"), &["password: \"", "Basic"]);
}

fn assert_prints_nothing_of(printed: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_gzipped_arrives_as_it_was_and_is_smaller_on_its_way() {
    let Some(home) = Home::elastic() else { return };
    let between = Between::start(home.server()).await;
    let config = |urls: Vec<String>, compress: bool| ElasticConfig { urls, compress, ..home.config() };
    // Straight to the real server, which unpacks it by itself.
    let direct = ElasticStore::connect(config(home.config().urls, true)).await.unwrap();
    direct.write_chunks(&[home.chunk(1, 0, 5_000)]).await.unwrap();
    assert_eq!(direct.segment(home.segment(1, 0, 1).id).await.unwrap(), home.segment(1, 0, 5_000));

    let mut lengths = Vec::new();
    for (stream, compress) in [(2, false), (3, true)] {
        let store = ElasticStore::connect(config(vec![between.url.clone()], compress)).await.unwrap();
        let before = between.seen().len();
        let chunks: Vec<_> = (0..50).map(|n| home.chunk(stream, n * 20, n * 20 + 20)).collect();
        store.write_chunks(&chunks).await.unwrap();
        let bulks: Vec<_> = between
            .seen()
            .split_off(before)
            .into_iter()
            .filter(|seen| seen.path.starts_with("/_bulk"))
            .collect();
        let (large, small): (Vec<_>, Vec<_>) = bulks.iter().partition(|seen| seen.length > 1_024);
        assert!(!large.is_empty() && large.iter().all(|seen| seen.is_gzipped == compress), "{bulks:?}");
        assert!(compress || small.iter().all(|seen| !seen.is_gzipped), "{bulks:?}");
        lengths.push(bulks.iter().map(|seen| seen.length).sum::<usize>());
        assert_eq!(store.stream_tally(StreamId(stream)).await.unwrap(), tally(1_000));
    }
    assert!(lengths[1] * 2 < lengths[0], "{lengths:?}");
    let stored = direct.segments(&home.index(), 0, usize::MAX, Columns::All).await.unwrap();
    assert_eq!(stored.len(), 101);
}
