//! `deploy/compose.yaml`, looked at without Docker.

use std::{collections::BTreeSet, fs, path::PathBuf};

use yaml_rust2::{Yaml, YamlLoader, yaml::Hash};

fn deploy(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compose() -> Yaml {
    let mut documents = YamlLoader::load_from_str(&deploy("compose.yaml")).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// The services, with what they take over by `<<` filled in.
fn services() -> Vec<(String, Hash)> {
    let compose = compose();
    let services = compose["services"].as_hash().unwrap();
    let merged = services.iter().map(|(name, service)| {
        let mut own = service.as_hash().unwrap().clone();
        if let Some(Yaml::Hash(shared)) = own.remove(&Yaml::String("<<".to_owned())) {
            for (key, value) in shared {
                own.entry(key).or_insert(value);
            }
        }
        (name.as_str().unwrap().to_owned(), own)
    });
    merged.collect()
}

fn field<'service>(service: &'service Hash, name: &str) -> &'service Yaml {
    service.get(&Yaml::String(name.to_owned())).unwrap_or(&Yaml::BadValue)
}

fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().map(|list| list.iter().map(|entry| entry.as_str().unwrap()).collect()).unwrap_or_default()
}

#[test]
fn every_part_of_the_pipeline_is_a_service() {
    let names: BTreeSet<String> = services().into_iter().map(|(name, _)| name).collect();
    let wanted = ["analyzer", "elasticsearch", "kibana", "kibana-user", "redis", "shipper", "transformer"]
        .map(str::to_owned);
    assert_eq!(names, BTreeSet::from(wanted));
}

#[test]
fn ports_are_open_to_this_machine_only() {
    let mut count = 0;
    for (name, service) in services() {
        for port in texts(field(&service, "ports")) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            count += 1;
        }
    }
    assert_eq!(count, 3);
}

#[test]
fn images_are_of_a_version() {
    for (name, service) in services() {
        let image = field(&service, "image").as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let image =
            image.strip_prefix("${RASTRO_IMAGE:-").and_then(|image| image.strip_suffix('}')).unwrap_or(image);
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest" && tag.contains('.')), "{name}: {image}");
    }
    for line in deploy("Dockerfile").lines().filter(|line| line.starts_with("FROM ")) {
        assert!(line.contains(':') && !line.contains(":latest"), "{line}");
    }
}

#[test]
fn every_service_has_limits_and_everything_that_lasts_a_health_check() {
    for (name, service) in services() {
        let limits = &field(&service, "deploy")["resources"]["limits"];
        assert!(limits["cpus"].as_str().is_some() && limits["memory"].as_str().is_some(), "{name}");
        // Rastro's own is in its image.
        let is_ours = field(&service, "image").as_str().is_some_and(|image| image.contains("rastro"));
        if !is_ours && name != "kibana-user" {
            assert!(!field(&service, "healthcheck")["test"].is_badvalue(), "{name}");
        }
    }
    assert!(deploy("Dockerfile").contains("HEALTHCHECK"));
}

#[test]
fn passwords_come_from_files_and_each_service_gets_only_its_own() {
    let compose = compose();
    let secrets = compose["secrets"].as_hash().unwrap();
    for (name, secret) in secrets {
        let name = name.as_str().unwrap();
        assert_eq!(secret["file"].as_str(), Some(format!("./secrets/{name}").as_str()));
        assert!(deploy("make-secrets.sh").contains(name), "{name} is not made");
    }
    let text = deploy("compose.yaml");
    for (name, service) in services() {
        let used = texts(field(&service, "secrets"));
        assert!(!used.is_empty(), "{name} reads no password");
        for secret in used {
            assert!(secrets.contains_key(&Yaml::String(secret.to_owned())), "{name}: {secret}");
        }
        if name == "shipper" {
            assert_eq!(texts(field(&service, "secrets")), ["redis_password"]);
        }
        if let Some(environment) = field(&service, "environment").as_hash() {
            for (key, value) in environment {
                let key = key.as_str().unwrap();
                let names_a_file =
                    key.ends_with("_FILE") && value.as_str().unwrap().starts_with("/run/secrets/");
                assert!(!key.contains("PASSWORD") || names_a_file, "{name}: {key}");
            }
        }
    }
    assert!(
        !text.contains("requirepass $$(cat /run/secrets/redis_password)\"]"),
        "a password on a command line"
    );
}

#[test]
fn every_variable_stands_in_the_example_with_the_same_default() {
    let text = deploy("compose.yaml");
    let example = deploy(".env.example");
    let documented: BTreeSet<(&str, &str)> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();
    let mut used = BTreeSet::new();
    for part in text.split("${").skip(1) {
        let (inside, _) = part.split_once('}').unwrap();
        used.insert(inside.split_once(":-").unwrap_or_else(|| panic!("`{inside}` has no default")));
    }
    assert_eq!(used, documented);
}

#[test]
fn volumes_and_dependencies_are_declared() {
    let compose = compose();
    let declared = compose["volumes"].as_hash().unwrap();
    let services = services();
    for (name, service) in &services {
        for volume in texts(field(service, "volumes")) {
            let source = volume.split_once(':').unwrap().0;
            let is_path = source.starts_with(['.', '/', '$']);
            assert!(is_path || declared.contains_key(&Yaml::String(source.to_owned())), "{name}: {volume}");
        }
        if let Some(needed) = field(service, "depends_on").as_hash() {
            for (other, condition) in needed {
                let other = other.as_str().unwrap();
                assert!(services.iter().any(|(name, _)| name == other), "{name} depends on {other}");
                assert!(condition["condition"].as_str().is_some(), "{name} depends on {other}");
            }
        }
    }
}

#[test]
fn settings_of_the_services_are_keys_that_rastro_has() {
    // `rastro config default` is generated from this text.
    let known = fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cli/src/config/default_file.rs"),
    );
    let known = known.unwrap();
    let dockerfile = deploy("Dockerfile");
    let mut keys: BTreeSet<String> = dockerfile
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(key, _)| key.to_owned())
        .collect();
    for (_, service) in services() {
        if let Some(environment) = field(&service, "environment").as_hash() {
            keys.extend(environment.keys().map(|key| key.as_str().unwrap().to_owned()));
        }
    }
    let ours: Vec<String> =
        keys.iter().filter_map(|key| key.strip_prefix("RASTRO_")).map(str::to_lowercase).collect();
    assert!(ours.len() >= 8, "{ours:?}");
    for key in ours {
        let section = key.split_once("__");
        let (section, key) = section.map_or((None, key.as_str()), |(section, key)| (Some(section), key));
        let text = match section {
            Some(section) => {
                known.split_once(&format!("\n[{section}]\n")).unwrap_or_else(|| panic!("[{section}]")).1
            }
            None => &known,
        };
        let text = text.split("\n[").next().unwrap();
        assert!(text.lines().any(|line| line.starts_with(&format!("{key} = "))), "{section:?} {key}");
    }
}
