//! Profiles and their versions.

use rastro_model::ProfileRef;
use rastro_store::{Profile, ProfileSummary, StoreError};

use crate::home::{Home, in_both_homes};

in_both_homes!(a_version_is_never_given_twice, a_profile_that_is_not_there_is_named,);

fn profile(name: &str, bytes: &[u8]) -> Profile {
    Profile {
        summary: ProfileSummary {
            profile: ProfileRef { name: name.into(), version: 77 },
            created_ns: 5,
            models: vec!["stide:6".into(), "bosc:10".into()],
            calls: 48_210,
            bytes: bytes.len() as u64,
        },
        bytes: bytes.to_vec(),
    }
}

async fn a_version_is_never_given_twice(home: &Home) {
    let store = home.open().await;
    assert_eq!(store.put_profile(&profile("nginx:1.27", b"one")).await.unwrap(), 1);
    assert_eq!(store.put_profile(&profile("nginx:1.27", b"two!")).await.unwrap(), 2);
    assert_eq!(store.put_profile(&profile("redis", b"r")).await.unwrap(), 1);
    assert_eq!(store.delete_profile("nginx:1.27", Some(2)).await.unwrap(), 1);
    assert_eq!(store.profile("nginx:1.27", None).await.unwrap().bytes, b"one");
    assert_eq!(store.put_profile(&profile("nginx:1.27", b"three")).await.unwrap(), 3);
    drop(store);

    let store = home.open().await;
    let latest = store.profile("nginx:1.27", None).await.unwrap();
    assert_eq!(latest.bytes, b"three");
    assert_eq!(latest.summary.profile, ProfileRef { name: "nginx:1.27".into(), version: 3 });
    assert_eq!(latest.summary.models, ["stide:6", "bosc:10"]);
    assert_eq!((latest.summary.calls, latest.summary.bytes, latest.summary.created_ns), (48_210, 5, 5));
    let listed: Vec<_> =
        store.profiles().await.unwrap().into_iter().map(|p| (p.profile.name, p.profile.version)).collect();
    assert_eq!(listed, [("nginx:1.27".to_owned(), 1), ("nginx:1.27".to_owned(), 3), ("redis".to_owned(), 1)]);
    assert_eq!(store.delete_profile("nginx:1.27", None).await.unwrap(), 2);
    assert_eq!(store.delete_profile("nginx:1.27", None).await.unwrap(), 0);
    assert_eq!(store.put_profile(&profile("nginx:1.27", b"four")).await.unwrap(), 4);
}

async fn a_profile_that_is_not_there_is_named(home: &Home) {
    let store = home.open().await;
    store.put_profile(&profile("nginx", b"")).await.unwrap();
    for (name, version, told) in
        [("nginy", None, "no profile `nginy`"), ("nginx", Some(9), "`nginx version 9`")]
    {
        let error = store.profile(name, version).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }));
        assert!(
            error.to_string().contains(told) && error.to_string().contains("rastro profile list"),
            "{error}"
        );
    }
}
