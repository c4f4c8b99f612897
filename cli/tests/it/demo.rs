//! The demo's recordings, trained on and scored: what the client commands are shown at work with.

use std::path::{Path, PathBuf};

use crate::support::{Rastro, closed};

/// A recording of the demo, which is part of the repository.
pub(crate) fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo").join(format!("webshop-{name}.log.gz"))
}

/// A data directory in which the normal part is learned and the attack scored.
pub(crate) fn scored() -> Rastro {
    let rastro = Rastro::new();
    for (name, then) in [("normal", Some("train")), ("attack", None)] {
        let path = recording(name).display().to_string();
        closed(rastro.json(&["replay", &path, "--dataset", "shop", "--json"]));
        if let Some(command) = then {
            rastro.text(&[command, "shop"]);
        }
    }
    rastro
}
