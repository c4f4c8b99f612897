//! The ordinary user that the servers run as.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::command::{output, step};

/// The system user that is made where the chore runs as root.
const USER: &str = "rastro-services";

/// Whether this runs as root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Who the servers run as.
#[derive(Debug)]
pub(super) enum Account {
    /// Who runs this.
    Own,
    /// Another user, for root must not: Elasticsearch refuses it, and neither needs it.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Finds the user; makes it if this runs as root and there is none.
    pub(super) fn find() -> anyhow::Result<Self> {
        if !is_root() {
            return Ok(Self::Own);
        }
        let id = |flag: &str| -> anyhow::Result<u32> {
            let text =
                String::from_utf8(output(Command::new("id").args([flag, USER]).stderr(Stdio::null()))?)?;
            text.trim().parse().with_context(|| format!("`id {flag} {USER}` printed no number"))
        };
        if id("-u").is_err() {
            let mut make = Command::new("useradd");
            make.args(["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]);
            step("make a system user", make.args(["--shell", "/usr/sbin/nologin", USER]))?;
        }
        Ok(Self::Other { uid: id("-u")?, gid: id("-g")? })
    }

    /// A command that runs `program` as that user, with an environment of its own, in a process group of its own: what ends the chore does
    /// not end the server.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match self {
            Self::Own => Command::new(program),
            Self::Other { uid, gid } => {
                let mut command = Command::new("setpriv");
                command
                    .args([format!("--reuid={uid}"), format!("--regid={gid}")])
                    .args(["--clear-groups", "--no-new-privs", "--"])
                    .arg(program);
                command
            }
        };
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }

    /// Gives everything under `folder` to that user.
    pub(super) fn own(&self, folder: &Path) -> anyhow::Result<()> {
        let Self::Other { uid, gid } = self else { return Ok(()) };
        output(Command::new("chown").args(["-R", &format!("{uid}:{gid}")]).arg(folder))?;
        Ok(())
    }

    /// Whether that user can get to `folder`: a closed folder above it is nothing that this may open.
    pub(super) fn can_reach(&self, folder: &Path) -> anyhow::Result<()> {
        let Self::Other { .. } = self else { return Ok(()) };
        let folder = fs::canonicalize(folder)?;
        let mut look = self.command(Path::new("test"));
        if !look.arg("-x").arg(&folder).status()?.success() {
            bail!(
                "the user `{USER}` cannot reach `{}`: allow others to pass through the folders above it (chmod o+x)",
                folder.display()
            );
        }
        Ok(())
    }
}
