//! What Filebeat tells of its machine with every line, read once.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
};

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// The Filebeat whose form is kept.
const VERSION: &str = "7.13.4";

/// The members that are the same in every document: from `@metadata` to `agent`, as JSON without the braces around them.
pub(super) fn members(node: &str) -> String {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let hostname = text(uname.nodename());
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let cgroups = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    let is_contained = ["docker", "kubepods", "containerd"].iter().any(|word| cgroups.contains(word));
    let mut os = os_of(&release);
    os["kernel"] = Value::String(text(uname.release()));
    let host = json!({
        "mac": macs(),
        "hostname": hostname,
        "architecture": text(uname.machine()),
        "name": node,
        "id": machine,
        "containerized": is_contained,
        "ip": addresses(
            &fs::read_to_string("/proc/net/fib_trie").unwrap_or_default(),
            &fs::read_to_string("/proc/net/if_inet6").unwrap_or_default(),
        ),
        "os": os,
    });
    // The same for the life of the installation, and another for each process.
    let id = uuid(xxh3_128(format!("rastro agent\0{machine}\0{node}").as_bytes()));
    let random = RandomState::new();
    let ephemeral_id = uuid(u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1)));
    let agent = json!({
        "hostname": hostname, "ephemeral_id": ephemeral_id, "id": id, "name": node, "type": "filebeat", "version": VERSION,
    });
    format!(
        r#""@metadata":{{"beat":"filebeat","type":"_doc","version":"{VERSION}"}},"ecs":{{"version":"1.8.0"}},"host":{host},"agent":{agent}"#
    )
}

fn os_of(release: &str) -> Value {
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    let platform = field("ID");
    let family = match platform.as_str() {
        "debian" | "ubuntu" | "linuxmint" | "raspbian" => "debian",
        "rhel" | "centos" | "fedora" | "rocky" | "almalinux" | "ol" | "amzn" => "redhat",
        "sles" | "suse" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => "suse",
        "arch" | "manjaro" | "antergos" => "arch",
        _ => "",
    };
    json!({
        "platform": platform,
        "version": field("VERSION"),
        "family": family,
        "name": field("NAME"),
        "codename": field("VERSION_CODENAME"),
        "type": "linux",
    })
}

/// Hardware addresses of the machine's interfaces.
fn macs() -> Vec<String> {
    let interfaces = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let addresses =
        interfaces.filter_map(|interface| fs::read_to_string(interface.path().join("address")).ok());
    let mut macs: Vec<String> = addresses.map(|address| address.trim().to_owned()).collect();
    macs.retain(|mac| mac.len() == 17 && mac != "00:00:00:00:00:00");
    macs.sort();
    macs.dedup();
    macs
}

/// The machine's own addresses but those of the loopback, out of the kernel's tables.
fn addresses(fib_trie: &str, if_inet6: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = "";
    for line in fib_trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address;
        } else if line == "/32 host LOCAL"
            && !last.starts_with("127.")
            && found.iter().all(|known| known != last)
        {
            found.push(last.to_owned());
        }
    }
    for line in if_inet6.lines() {
        let digits = line.split(' ').next().unwrap_or_default();
        if let Ok(address) = u128::from_str_radix(digits, 16) {
            let address = std::net::Ipv6Addr::from(address);
            if !address.is_loopback() {
                found.push(address.to_string());
            }
        }
    }
    found
}

/// A UUID of version 4 made of these bits.
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
    let digits = format!("{bits:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_are_those_of_filebeat() {
        let document: Value = serde_json::from_str(&format!("{{{}}}", members("worker-0"))).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&document), ["@metadata", "agent", "ecs", "host"]);
        let host = ["architecture", "containerized", "hostname", "id", "ip", "mac", "name", "os"];
        assert_eq!(keys(&document["host"]), host);
        let os = ["codename", "family", "kernel", "name", "platform", "type", "version"];
        assert_eq!(keys(&document["host"]["os"]), os);
        let agent = ["ephemeral_id", "hostname", "id", "name", "type", "version"];
        assert_eq!(keys(&document["agent"]), agent);
        assert_eq!(document["host"]["name"], "worker-0");
        assert_eq!(document["@metadata"], json!({"beat": "filebeat", "type": "_doc", "version": "7.13.4"}));
        let id = document["agent"]["id"].as_str().unwrap();
        assert_eq!(
            id,
            serde_json::from_str::<Value>(&format!("{{{}}}", members("worker-0"))).unwrap()["agent"]["id"]
        );
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
    }

    #[test]
    fn addresses_are_read_from_the_kernels_tables() {
        let fib_trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.168.202.0\n        /24 link UNICAST\n     |-- 192.168.202.3\n        /32 host LOCAL\n     |-- 192.168.202.3\n        /32 host LOCAL\n";
        let if_inet6 = "00000000000000000000000000000001 01 80 10 80       lo\nfe80000000000000004200fffe000001 02 40 20 80     eth0\n";
        assert_eq!(addresses(fib_trie, if_inet6), ["192.168.202.3", "fe80::42:ff:fe00:1"]);
        assert_eq!(addresses("", "rubbish\n"), [""; 0]);
    }
}
