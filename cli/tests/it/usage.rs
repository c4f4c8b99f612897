//! What the command line says when it is used, and when it is misused.

use crate::support::Rastro;

#[test]
fn an_unknown_command_is_answered_with_the_commands() {
    let output = Rastro::new().run(&["abc"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    for command in ["replay", "train", "alarms", "explain", "doctor"] {
        assert!(stderr.contains(command), "{command}: {stderr}");
    }
}

#[test]
fn help_has_an_example_for_every_command() {
    let rastro = Rastro::new();
    let trail = ["run", "agent", "shipper", "transformer", "analyzer", "replay", "tail", "dead-letters"];
    let learning = ["train", "score", "alarms", "explain", "profile", "export", "eval", "datasets"];
    let upkeep = ["doctor", "migrate", "config", "completions"];
    for command in trail.into_iter().chain(learning).chain(upkeep) {
        assert!(rastro.text(&[command, "--help"]).contains("Example"), "{command}");
    }
}

#[test]
fn every_shell_gets_completions() {
    let rastro = Rastro::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(rastro.text(&["completions", shell]).contains("replay"), "{shell}");
    }
}

#[test]
fn wrong_configuration_is_refused_with_the_key_before_anything_starts() {
    let rastro = Rastro::new();
    rastro.file("rastro.toml", b"[analyzer]\nframe = \"many\"\n");
    let error = rastro.error(&["run"]);
    assert!(error.contains("rastro.toml") && error.contains("frame"), "{error}");
    assert!(!rastro.data_dir().exists());
    rastro.file("rastro.toml", b"[analyser]\nframe = 100\n");
    let error = rastro.error(&["config", "check"]);
    assert!(error.contains("analyser"), "{error}");
}

#[test]
fn the_environment_overrides_the_file_and_a_flag_overrides_both() {
    let rastro = Rastro::new();
    rastro.file("rastro.toml", b"[analyzer]\nframe = 100\n");
    let frame = |environment: Option<&str>, flags: &[&str]| {
        let mut command = rastro.command(&[&["config", "check"], flags].concat());
        if let Some(value) = environment {
            command.env("RASTRO_ANALYZER__FRAME", value);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find_map(|line| line.strip_prefix("frame = ")).map(str::to_owned)
    };
    assert_eq!(frame(None, &[]).as_deref(), Some("100"));
    assert_eq!(frame(Some("200"), &[]).as_deref(), Some("200"));
    assert_eq!(frame(Some("200"), &["--set", "analyzer.frame=300"]).as_deref(), Some("300"));
    let output = rastro.command(&["config", "check"]).env("RASTRO_ANALYZER__FRAME", "few").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("analyzer.frame") && error.contains("RASTRO_ANALYZER__FRAME"), "{error}");
}

#[test]
fn a_store_that_is_not_there_is_one_clear_sentence() {
    let rastro = Rastro::new();
    for arguments in [&["alarms"][..], &["datasets"], &["train", "web"], &["export", "web"]] {
        let error = rastro.error(arguments);
        assert!(error.contains("rastro replay"), "{arguments:?}: {error}");
        assert_eq!(error.trim().lines().count(), 1, "{error}");
    }
}

#[test]
fn a_recording_that_is_not_there_is_named() {
    let error = Rastro::new().error(&["replay", "no-such-file.log"]);
    assert!(error.contains("no-such-file.log"), "{error}");
}

#[test]
fn what_is_asked_of_a_dataset_that_is_not_there_is_refused() {
    let rastro = crate::demo::scored();
    for command in [&["alarms", "--dataset", "shpo"][..], &["export", "shpo"], &["dead-letters", "shpo"]] {
        let error = rastro.error(command);
        assert!(error.contains("no dataset `shpo`"), "{error}");
    }
}

#[test]
fn calls_that_did_not_return_are_told_beside_the_others() {
    let rastro = Rastro::new();
    let line = |number: u32, direction: &str, name: &str| {
        format!("{number} 2022-03-31T18:13:16.97763372{number}+0000 {direction} file {name} 0 <NA>  \n")
    };
    let text = [line(1, ">", "open"), line(2, "<", "open"), line(3, ">", "read")].concat();
    let path = rastro.file("a.log", text.as_bytes()).display().to_string();
    let report = crate::support::closed(rastro.json(&["replay", &path, "--dataset", "shop", "--json"]));
    assert_eq!((report["calls_stored"].as_u64(), report["events_folded"].as_u64()), (Some(2), Some(1)));
    let page = rastro.text(&["datasets"]);
    assert!(page.contains("shop: 1 call more had begun and not returned"), "{page}");
}

#[test]
fn a_list_of_dead_letters_says_how_many_there_are() {
    let rastro = Rastro::new();
    let path = rastro.file("a.log", b"one\ntwo\nthree\n").display().to_string();
    rastro.json(&["replay", &path, "--format", "rocha", "--dataset", "shop", "--json"]);
    let told = |number: &str| {
        let output = rastro.run(&["dead-letters", "shop", "-n", number]);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(told("1").contains("the oldest 1 of 3"), "{}", told("1"));
    assert_eq!(told("3"), "");
}

#[test]
fn a_password_of_digits_in_the_environment_is_a_password() {
    let rastro = Rastro::new();
    let output =
        rastro.command(&["config", "check"]).env("RASTRO_BROKER__PASSWORD", "4242").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert!(![&output.stdout, &output.stderr].iter().any(|text| text.windows(4).any(|part| part == b"4242")));
}

#[test]
fn what_kubernetes_says_of_a_service_of_our_name_is_no_configuration() {
    let rastro = Rastro::new();
    let check = |name: &str, value: &str| {
        rastro.command(&["config", "check"]).env(name, value).output().unwrap().status.success()
    };
    assert!(check("RASTRO_SERVICE_HOST", "10.0.0.1"));
    assert!(check("RASTRO_PORT", "tcp://10.0.0.1:9464"));
    assert!(check("RASTRO_REDIS_PORT_6379_TCP_ADDR", "10.0.0.2"));
    assert!(!check("RASTRO_NOD", "a"));
}

#[test]
fn a_replay_says_that_nothing_was_an_event_and_what_is_in_the_queue() {
    let rastro = Rastro::new();
    let path = rastro.file("a.log", b"one\ntwo\nthree\n").display().to_string();
    let arguments = ["replay", &path, "--format", "rocha", "--dataset", "shop", "--json"];
    let queued = rastro.json(&[&arguments[..], &["--no-drain"]].concat());
    assert_eq!((queued["dataset"].as_str(), queued["lines_queued"].as_u64()), (Some("shop"), Some(3)));
    let output = rastro.run(&arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("no line was an event: is the format"), "{told}");
}

#[test]
fn a_recording_is_replayed_where_another_process_has_the_port_that_nobody_chose() {
    // Somebody has it now: this test, or whoever had it before.
    let _taken = std::net::TcpListener::bind("127.0.0.1:9464");
    let chosen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let rastro = Rastro::new();
    let path = crate::demo::recording("attack").display().to_string();
    let replay = |address: &str| {
        let listen = format!("observability.listen={address}");
        rastro.command(&["replay", &path, "--json"]).args(["--set", &listen]).output().unwrap()
    };
    let refused = replay(&chosen.local_addr().unwrap().to_string());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot listen"), "{refused:?}");
    let replayed = replay("127.0.0.1:9464");
    assert!(String::from_utf8_lossy(&replayed.stderr).contains("another process serves metrics"));
    let report: serde_json::Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!(report["dead_letters"], 0, "{report}");
}
