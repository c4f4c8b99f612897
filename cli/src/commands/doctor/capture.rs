//! Where calls can come from: recorders, kernel interfaces, container runtimes.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::check::Check;

/// Numbers of capabilities (linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Everything about sources of calls. None of it is needed to follow log files and to replay text.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![kernel(&rustix::system::uname().release().to_string_lossy())];
    checks.push(tool(
        "sysdig",
        "--version",
        "needed for .scap recordings and for capture with sysdig: install the package `sysdig`",
    ));
    checks.push(tool(
        "strace",
        "--version",
        "needed to record a single program: install the package `strace`",
    ));
    checks.push(tool("bpftrace", "--version", "another recorder; install the package `bpftrace` to use it"));
    checks.push(present(
        "BTF",
        &["/sys/kernel/btf/vmlinux"],
        "the kernel does not describe its types: capture with eBPF needs a kernel with CONFIG_DEBUG_INFO_BTF",
    ));
    checks.push(privileges(&fs::read_to_string("/proc/self/status").unwrap_or_default()));
    checks.push(present(
        "tracefs",
        &["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"],
        "not mounted, or not for this user: `mount -t tracefs tracefs /sys/kernel/tracing` as root",
    ));
    checks.push(runtimes());
    checks
}

/// Ring buffers, which capture with eBPF rests on, came with 5.8.
fn kernel(release: &str) -> Check {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|digits| digits.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (5, 8) => Check::ok("kernel", release),
        (Some(_), Some(_)) => {
            Check::warn("kernel", release, "capture with eBPF needs 5.8 or later; all else works")
        }
        _ => Check::warn(
            "kernel",
            format!("release `{release}`"),
            "not of the form that Linux has; capture may not work",
        ),
    }
}

fn tool(name: &'static str, version_flag: &str, advice: &str) -> Check {
    let Some(path) = in_path(name) else {
        return Check::missing(name, "not in PATH", advice);
    };
    let output =
        Command::new(&path).arg(version_flag).stdin(Stdio::null()).stderr(Stdio::null()).output().ok();
    let output =
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let version = output.lines().next().unwrap_or("").trim();
    Check::ok(
        name,
        if version.is_empty() {
            path.display().to_string()
        } else {
            format!("{} ({version})", path.display())
        },
    )
}

/// The first executable file of that name in the folders of PATH.
fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn present(name: &'static str, places: &[&str], advice: &str) -> Check {
    let found = places.iter().find(|place| fs::metadata(place).is_ok());
    match found {
        Some(place) => Check::ok(name, *place),
        None => Check::missing(name, format!("no {} for this user", places.join(", no ")), advice),
    }
}

/// What this process may do, from `/proc/self/status`.
fn privileges(status: &str) -> Check {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hexadecimal| u64::from_str_radix(hexadecimal.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective & (1 << capability) != 0;
    if has(CAP_SYS_ADMIN) {
        Check::ok("privileges", "CAP_SYS_ADMIN: live capture is possible")
    } else if has(CAP_BPF) && has(CAP_PERFMON) {
        Check::ok("privileges", "CAP_BPF and CAP_PERFMON: capture with eBPF is possible")
    } else {
        let advice =
            "recordings and log files need none; live capture needs root, or CAP_BPF and CAP_PERFMON";
        Check::missing("privileges", "neither root nor CAP_BPF", advice)
    }
}

fn runtimes() -> Check {
    const SOCKETS: [(&str, &str); 4] = [
        ("docker", "/var/run/docker.sock"),
        ("containerd", "/run/containerd/containerd.sock"),
        ("cri-o", "/var/run/crio/crio.sock"),
        ("podman", "/run/podman/podman.sock"),
    ];
    let found: Vec<_> =
        SOCKETS.iter().filter(|(_, socket)| fs::metadata(socket).is_ok()).map(|(name, _)| *name).collect();
    if found.is_empty() {
        let advice = "names and images of containers then come from recordings and log files alone";
        Check::missing("container runtimes", "no socket of docker, containerd, cri-o or podman", advice)
    } else {
        Check::ok("container runtimes", found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::check::State;

    #[test]
    fn a_kernel_is_judged_by_its_number() {
        assert_eq!(kernel("5.4.0-150-generic").state, State::Warn);
        assert_eq!(kernel("5.10.0-28-amd64").state, State::Ok);
        assert_eq!(kernel("6.1.0").state, State::Ok);
        assert_eq!(kernel("").state, State::Warn);
    }

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        assert_eq!(privileges("Name:\tx\nCapEff:\t000001ffffffffff\n").state, State::Ok);
        assert_eq!(privileges("CapEff:\t000000c000000000\n").state, State::Ok);
        assert_eq!(privileges("CapEff:\t0000008000000000\n").state, State::Missing);
        assert_eq!(privileges("CapEff:\t0000000000000000\n").state, State::Missing);
        assert_eq!(privileges("").state, State::Missing);
    }

    #[test]
    fn a_tool_that_is_there_is_found() {
        assert_eq!(tool("sh", "-c", "").state, State::Ok);
        assert_eq!(tool("no-such-tool-of-rastro", "", "advice").state, State::Missing);
    }
}
