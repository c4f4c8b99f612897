//! Scores, alarms and the analyzer's place.

use rastro_model::{Alarm, AlarmId, FrameScore, ProfileRef, Reason, Segment, SegmentScores};
use rastro_store::{AlarmQuery, AnalysisBatch, ScoreQuery, StoreError};

use crate::{
    DAY, container,
    home::{Home, in_both_homes},
    segment,
};

in_both_homes!(
    scores_alarms_and_place_are_kept_and_replaced_by_identity,
    jobs_do_not_touch_one_another_and_queries_choose,
    the_best_frames_are_those_that_a_full_sort_finds,
    scores_of_what_is_not_stored_are_refused_and_nothing_of_the_batch_is_kept,
);

/// Scores of a segment, one frame each.
fn scores(segment: &Segment, window: u32, scores: &[f64]) -> SegmentScores {
    let frame = |(number, &score): (usize, &f64)| FrameScore {
        first_call: number as u32 * 10,
        calls: 10,
        windows: 5,
        unseen: 1,
        raw: score / 3.0,
        score,
        alarm: score >= 50.0,
        lossy: false,
        learning: false,
        start_ns: DAY + number as i64,
        end_ns: DAY + number as i64 + 1,
        reasons: vec![Reason::RareCall {
            name: "execve".into(),
            call: 1,
            times: 2,
            trained: 0,
            arguments: Some("exe=/bin/sh".into()),
        }],
    };
    SegmentScores {
        segment: segment.id,
        detector: "stide".into(),
        window,
        profile: ProfileRef { name: "nginx".into(), version: 1 },
        threshold: 50.0,
        frames: scores.iter().enumerate().map(frame).collect(),
    }
}

fn alarm(home: &Home, id: &str, start_ns: i64, score: f64) -> Alarm {
    Alarm {
        id: AlarmId(id.into()),
        index: home.index(),
        dataset: home.dataset(),
        node: "worker-0".into(),
        container: container(),
        profile: ProfileRef { name: "nginx".into(), version: 1 },
        detector: "stide".into(),
        window: 6,
        score,
        threshold: 50.0,
        frames: 1,
        peak: (segment(1, 0, 10).id, 0),
        first: (segment(1, 0, 10).id, 0),
        start_ns,
        end_ns: start_ns,
        lossy: false,
        reasons: Vec::new(),
        message: format!("{id} is loud"),
    }
}

fn batch(home: &Home, job: &str) -> AnalysisBatch {
    AnalysisBatch {
        job: job.into(),
        index: home.index(),
        scores: Vec::new(),
        alarms: Vec::new(),
        place: None,
    }
}

fn of_job(job: &str) -> ScoreQuery {
    ScoreQuery { job: Some(job.into()), ..ScoreQuery::default() }
}

async fn scores_alarms_and_place_are_kept_and_replaced_by_identity(home: &Home) {
    let store = home.open().await;
    store.write_chunks(&[home.chunk(1, 0, 10), home.chunk(1, 10, 20)]).await.unwrap();
    let (first, second) = (home.segment(1, 0, 10), home.segment(1, 10, 20));
    assert_eq!(store.place("live", &home.index()).await.unwrap(), None);

    let mut live = batch(home, "live");
    live.scores =
        vec![scores(&second, 6, &[1.0]), scores(&first, 6, &[0.1 + 0.2, 99.0]), scores(&first, 10, &[2.0])];
    live.alarms = vec![alarm(home, "a", DAY, 1.0 / 3.0), alarm(home, "b", DAY + 5, 80.0)];
    live.place = Some((2, b"state".to_vec()));
    store.write_analysis(&live).await.unwrap();
    drop(store);

    let store = home.open().await;
    let stored = store.scores(&of_job("live")).await.unwrap();
    // In the order of the index; of one segment by detector and window.
    let expected = [&live.scores[1], &live.scores[2], &live.scores[0]];
    assert_eq!(stored.iter().map(|stored| &stored.scores).collect::<Vec<_>>(), expected);
    assert_eq!((stored[0].node.as_str(), &stored[0].container), ("worker-0", &container()));
    assert_eq!((stored[0].index.as_str(), stored[0].job.as_str()), (home.index().as_str(), "live"));
    assert_eq!(store.place("live", &home.index()).await.unwrap(), Some((2, b"state".to_vec())));
    assert_eq!(store.place("other", &home.index()).await.unwrap(), None);

    let mut again = batch(home, "live");
    again.scores = vec![scores(&second, 6, &[7.0])];
    again.alarms = vec![alarm(home, "a", DAY, 90.0)];
    store.write_analysis(&again).await.unwrap();
    let query = ScoreQuery { segment: Some(second.id), ..of_job("live") };
    let replaced = store.scores(&query).await.unwrap();
    assert_eq!(replaced.iter().map(|stored| &stored.scores).collect::<Vec<_>>(), [&again.scores[0]]);
    assert_eq!(store.alarm(&AlarmId("a".into())).await.unwrap(), again.alarms[0]);
    assert_eq!(store.place("live", &home.index()).await.unwrap(), Some((2, b"state".to_vec())));
    assert_eq!(store.datasets().await.unwrap()[0].indices[0].alarms, 2);
    let error = store.alarm(&AlarmId("c".into())).await.unwrap_err().to_string();
    assert_eq!(error, "no alarm `c`; `rastro alarms` lists what there is");
}

async fn jobs_do_not_touch_one_another_and_queries_choose(home: &Home) {
    let store = home.open().await;
    store.write_chunks(&[home.chunk(1, 0, 10), home.chunk(1, 10, 20)]).await.unwrap();
    let (first, second) = (home.segment(1, 0, 10), home.segment(1, 10, 20));
    for (job, score) in [("offline", 10.0), ("live", 20.0)] {
        let mut batch = batch(home, job);
        batch.scores = vec![scores(&first, 6, &[score]), scores(&second, 6, &[score])];
        batch.alarms = vec![alarm(home, "a", DAY, score), alarm(home, job, DAY + 1, score)];
        store.write_analysis(&batch).await.unwrap();
    }
    assert_eq!(store.scores(&ScoreQuery::default()).await.unwrap().len(), 4);
    assert_eq!(store.scores(&of_job("live")).await.unwrap().len(), 2);
    assert_eq!(store.scores(&ScoreQuery { limit: Some(1), ..of_job("live") }).await.unwrap().len(), 1);
    let dataset = |name: &str| ScoreQuery { dataset: Some(name.into()), ..ScoreQuery::default() };
    assert_eq!(store.scores(&dataset(&home.dataset())).await.unwrap().len(), 4);
    assert_eq!(store.scores(&dataset("other")).await.unwrap().len(), 0);

    assert_eq!(store.datasets().await.unwrap()[0].indices[0].alarms, 2, "only those of the live analysis");
    assert_eq!(store.alarm(&AlarmId("a".into())).await.unwrap().score.to_bits(), 20.0_f64.to_bits());
    let ids = |alarms: Vec<Alarm>| alarms.into_iter().map(|alarm| alarm.id.0).collect::<Vec<_>>();
    let query = AlarmQuery { job: Some("offline".into()), ..AlarmQuery::default() };
    assert_eq!(ids(store.alarms(&query).await.unwrap()), ["offline", "a"]);
    let query = AlarmQuery { container: Some("web".into()), limit: Some(3), ..AlarmQuery::default() };
    assert_eq!(ids(store.alarms(&query).await.unwrap()), ["offline", "live", "a"]);
    let query = AlarmQuery { container: Some("0123456789ab".into()), ..AlarmQuery::default() };
    assert_eq!(store.alarms(&query).await.unwrap().len(), 4);
    let query = AlarmQuery { container: Some("db".into()), ..AlarmQuery::default() };
    assert!(store.alarms(&query).await.unwrap().is_empty());
    let query = AlarmQuery { dataset: Some("other".into()), ..AlarmQuery::default() };
    assert!(store.alarms(&query).await.unwrap().is_empty());

    store.delete_dataset(&home.dataset()).await.unwrap();
    assert!(store.scores(&ScoreQuery::default()).await.unwrap().is_empty());
    assert!(store.alarms(&AlarmQuery::default()).await.unwrap().is_empty());
}

async fn the_best_frames_are_those_that_a_full_sort_finds(home: &Home) {
    let store = home.open().await;
    let mut written = batch(home, "live");
    let mut all = Vec::new();
    for number in 0..60_u64 {
        let (from, to) = (number * 10, number * 10 + 10);
        store.write_chunks(&[home.chunk(1, from, to)]).await.unwrap();
        // Few distinct figures, so that many frames tie.
        let figures: Vec<f64> = (0..4).map(|frame| ((number * 7 + frame * 13) % 23) as f64).collect();
        let segment = home.segment(1, from, to);
        all.extend(figures.iter().enumerate().map(|(frame, &figure)| (figure, segment.id, frame)));
        written.scores.push(scores(&segment, 6, &figures));
    }
    store.write_analysis(&written).await.unwrap();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    for count in [0, 1, 3, 17, 100, 1000] {
        let found = store.top_frames(&of_job("live"), count).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(stored, frame)| {
                let frame = &stored.scores.frames[*frame];
                (frame.score, stored.scores.segment, frame.first_call as usize / 10)
            })
            .collect();
        assert_eq!(found, all[..count.min(all.len())]);
    }
    assert!(store.top_frames(&of_job("other"), 3).await.unwrap().is_empty());
    let one = ScoreQuery { segment: Some(home.segment(1, 50, 60).id), ..of_job("live") };
    let found = store.top_frames(&one, 9).await.unwrap();
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|(stored, _)| Some(stored.scores.segment) == one.segment));

    // Over several analyses the best of all.
    let mut other = batch(home, "other");
    other.scores.push(scores(&home.segment(1, 0, 10), 6, &[22.0, 30.0, 0.0]));
    store.write_analysis(&other).await.unwrap();
    let found = store.top_frames(&ScoreQuery::default(), 2).await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|(stored, frame)| (stored.job.as_str(), stored.scores.frames[*frame].first_call / 10))
        .collect();
    assert_eq!(found, [("other", 1), ("other", 0)]);
}

async fn scores_of_what_is_not_stored_are_refused_and_nothing_of_the_batch_is_kept(home: &Home) {
    let store = home.open().await;
    store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
    let mut unknown = batch(home, "live");
    unknown.scores =
        vec![scores(&home.segment(1, 0, 10), 6, &[1.0]), scores(&home.segment(1, 10, 20), 6, &[1.0])];
    unknown.place = Some((1, Vec::new()));
    let error = store.write_analysis(&unknown).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { kind: "segment", .. }), "{error}");
    assert!(store.scores(&ScoreQuery::default()).await.unwrap().is_empty());
    assert_eq!(store.place("live", &home.index()).await.unwrap(), None);

    let elsewhere = AnalysisBatch { index: home.named("shop-2022.04.01"), ..batch(home, "live") };
    let error = store.write_analysis(&elsewhere).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { kind: "index", .. }), "{error}");
}
