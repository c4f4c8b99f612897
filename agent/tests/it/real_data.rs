//! Every real recording passes: as many lines come out as its README states.

use rastro_agent::{RecordingKind, RecordingOptions, recording::detect};
use rastro_format::Format;

use crate::support::{contents, count_lines, replay_into, shared_data};

/// Capture and lines, from the README of the recordings.
const SYSDIG: &[(&str, u64)] = &[
    ("libs_curl_google", 1_221),
    ("libs_sample", 402),
    ("falco_cat_write", 85),
    ("falco_open-multiple-files", 86),
    ("falco_connect_localhost", 8),
    ("falco_psp_run_as_user_0", 3_796),
    ("inspect_502Error", 9_478),
    ("sysflow_mpm-preforked-full_capture", 32_586),
    ("sysflow_mpm-preforked-cold_start_capture", 1_713),
    ("sysflow_mpm-event-cold_start_capture", 2_666),
    ("sysflow_alpine-alpine", 831),
    ("sysflow_files-files", 204),
    ("sysflow_objectstore-upload", 7_509),
];

#[test]
fn every_line_that_sysdig_printed_reaches_one_log() {
    let Some(data) = shared_data() else { return };
    for (capture, lines) in SYSDIG {
        for form in ["basic", "rich"] {
            let path = data.join(format!("sysdig-real/{capture}.{form}.log.gz"));
            let expected = Format::named(&format!("sysdig-{form}")).unwrap();
            assert_eq!(
                detect(&path).unwrap(),
                RecordingKind::Text { format: expected.text().to_owned() },
                "{capture}.{form}"
            );
            let logs = tempfile::tempdir().unwrap();
            let report = replay_into(logs.path(), &[path], &RecordingOptions::default());
            assert_eq!(report.lines, *lines, "{capture}.{form}");
            assert_eq!(count_lines(&contents(logs.path())), *lines, "{capture}.{form}");
        }
    }
}
