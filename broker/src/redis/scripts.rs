//! The steps that Redis takes as one: each a script that runs whole, with nothing in between.
//!
//! They are loaded with every connection and called by their digest, so that a call can be part of a pipeline.

use std::sync::LazyLock;

use redis::{Cmd, ToRedisArgs};

/// One script.
pub(super) struct Script {
    pub(super) text: &'static str,
    loaded: LazyLock<redis::Script>,
}

impl Script {
    /// A call on `keys`; its arguments are to follow.
    pub(super) fn call<K: ToRedisArgs>(&self, keys: &[K]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.loaded.get_hash()).arg(keys.len()).arg(keys);
        command
    }
}

/// The files of `scripts/` that one script is made of, one behind the other.
macro_rules! script {
    ($($file:literal),+) => {
        Script {
            text: concat!($(include_str!(concat!("scripts/", $file))),+),
            loaded: LazyLock::new(|| redis::Script::new(concat!($(include_str!(concat!("scripts/", $file))),+))),
        }
    };
}

pub(super) static OPEN: Script = script!("open.lua");
pub(super) static APPEND: Script = script!("ends.lua", "append.lua");
pub(super) static LEASE: Script = script!("lease.lua");
pub(super) static TAKE: Script = script!("take.lua");
pub(super) static ACKNOWLEDGE: Script = script!("acknowledge.lua");
pub(super) static GIVE_UP: Script = script!("give_up.lua");
pub(super) static LIST_PUSH: Script = script!("ends.lua", "list_push.lua");
pub(super) static LIST_TAKE: Script = script!("list_take.lua");
pub(super) static LIST_IMPORT: Script = script!("ends.lua", "list_import.lua");
pub(super) static LIST_LEAVE: Script = script!("list_leave.lua");

/// All of them.
pub(super) static ALL: [&Script; 10] = [
    &OPEN,
    &APPEND,
    &LEASE,
    &TAKE,
    &ACKNOWLEDGE,
    &GIVE_UP,
    &LIST_PUSH,
    &LIST_TAKE,
    &LIST_IMPORT,
    &LIST_LEAVE,
];
