//! Every real recording beside the checkout, from the file to the store, with both sums closed.

use crate::support::{Rastro, closed, shared};

/// Capture, events, lines (`sysdig-real/README.md`).
const CAPTURES: &[(&str, u64, u64)] = &[
    ("libs_curl_google", 1_221, 1_221),
    ("libs_sample", 402, 402),
    ("falco_cat_write", 85, 85),
    ("falco_open-multiple-files", 86, 86),
    ("falco_connect_localhost", 8, 8),
    ("falco_psp_run_as_user_0", 3_796, 3_796),
    ("inspect_502Error", 9_478, 9_478),
    ("sysflow_mpm-preforked-full_capture", 32_585, 32_586),
    ("sysflow_mpm-preforked-cold_start_capture", 1_713, 1_713),
    ("sysflow_mpm-event-cold_start_capture", 2_666, 2_666),
    ("sysflow_alpine-alpine", 831, 831),
    ("sysflow_files-files", 204, 204),
    ("sysflow_objectstore-upload", 7_509, 7_509),
];

fn replay(file: &str, format: Option<&str>, events: u64, lines: u64) {
    let Some(path) = shared(file) else { return };
    let rastro = Rastro::new();
    let path = path.display().to_string();
    let mut arguments = vec!["replay", &path, "--speed", "max", "--drain", "--json"];
    if let Some(format) = format {
        arguments.extend(["--format", format]);
    }
    let report = closed(rastro.json(&arguments));
    assert_eq!(report["events_parsed"], events, "{file}: {report}");
    assert_eq!(report["lines_read"], lines, "{file}: {report}");
    assert_eq!(report["calls_lost"], 0, "{file}: {report}");
}

#[test]
fn every_sysdig_capture_passes_in_its_basic_form() {
    for &(capture, events, lines) in CAPTURES {
        let format =
            "*%evt.num %evt.time.iso8601 %evt.dir %evt.category %evt.type %evt.latency %evt.rawres %evt.args";
        replay(&format!("sysdig-real/{capture}.basic.log.gz"), Some(format), events, lines);
    }
}

#[test]
fn every_sysdig_capture_passes_in_its_rich_form() {
    for &(capture, events, lines) in CAPTURES {
        let format = "*%evt.num %evt.time.iso8601 %evt.cpu %container.id %container.name %container.image %proc.pid \
                      %thread.tid %proc.name %user.uid %evt.dir %evt.category %evt.type %evt.latency %evt.rawres %evt.args";
        replay(&format!("sysdig-real/{capture}.rich.log.gz"), Some(format), events, lines);
    }
}

#[test]
fn the_old_and_the_per_container_forms_pass() {
    replay("sysdig-real/libs_curl_google.as-2022.log.gz", Some("rocha"), 408, 408);
    for (container, lines) in [("59fd49aa4072", 3_002), ("c78a447010cd", 2_730), ("host", 3_746)] {
        let file = format!("sysdig-real/per-container/inspect_502Error/{container}.log.gz");
        replay(&file, Some("rocha"), lines, lines);
    }
}

#[test]
fn the_forms_of_lid_ds_pass() {
    replay("lidds-samples/2019-format/brave_preforked_0001.txt.gz", Some("lidds-2019"), 32_585, 32_586);
    replay("lidds-samples/2019-format/calm_alpine_0002.txt.gz", Some("lidds-2019"), 831, 831);
    replay("lidds-samples/2021-format/brave_preforked_0001.zip", None, 32_005, 32_005);
    replay("lidds-samples/2021-format/calm_alpine_0002.zip", None, 770, 770);
}

#[test]
fn traces_of_numbers_are_calls_one_for_one() {
    let Some(path) = shared("adfa-ld/training.txt.gz") else { return };
    let rastro = Rastro::new();
    let path = path.display().to_string();
    let report = closed(rastro.json(&["replay", &path, "--table", "i386", "--drain", "--json"]));
    assert_eq!(report["calls_stored"], 308_077);
    assert_eq!(report["dead_letters"], 0);
}
