//! `cargo xtask demo`: the bundled recording of an attack, from the file to an explained alarm.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::Context;
use clap::Args;

use crate::command::{Build, build, root, step, target_directory};

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keeps everything running afterwards, until Ctrl-C.
    #[arg(long)]
    serve: bool,
    /// Where the demo keeps its data; emptied first [default: target/demo].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) fn run(demo: &Demo) -> anyhow::Result<()> {
    // A first look should not wait for the optimiser: it takes most of a build, and the demo a second without it.
    let rastro = build(&["rastro"], Build::Debug)?.join("rastro");
    let data_dir = match &demo.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => target_directory()?.join("demo"),
    };
    empty(&data_dir)?;
    let begun = Instant::now();
    let recording = |name: &str| root().join("demo").join(name).display().to_string();
    let (normal, attack) = (recording("webshop-normal.log.gz"), recording("webshop-attack.log.gz"));

    let say = |arguments: &[&str]| -> anyhow::Result<()> {
        println!("\n$ rastro {}", arguments.join(" "));
        let mut command = Command::new(&rastro);
        command.current_dir(root()).args(arguments).arg("--data-dir").arg(&data_dir);
        let status = command.status().context("cannot start rastro")?;
        anyhow::ensure!(status.success(), "`rastro {}` failed ({status})", arguments.join(" "));
        Ok(())
    };
    println!("A small web shop was recorded twice: at work, and while someone opened a shell through it.");
    say(&["replay", &normal, "--dataset", "webshop"])?;
    say(&["train", "webshop"])?;
    say(&["replay", &attack, "--dataset", "webshop-attacked"])?;
    say(&["explain", "worst"])?;
    println!("\nFrom the recordings to the explanation: {:.1} s.", begun.elapsed().as_secs_f64());

    let shown = data_dir.strip_prefix(root()).unwrap_or(&data_dir).display();
    let binary = rastro.strip_prefix(root()).unwrap_or(&rastro).display();
    println!("\nNow try:");
    for (command, meaning) in [
        ("alarms", "what was found"),
        ("datasets", "what is stored, and in how many bytes a call"),
        ("profile show rastro/demo-webshop:1", "what was learned"),
        ("score webshop-attacked --detector bosc --window 15", "score the stored calls again, otherwise"),
        (
            "export webshop-attacked --format csv --output demo-export",
            "the calls as a dataset, with a data card",
        ),
    ] {
        println!("  {binary} {command} --data-dir {shown}    # {meaning}");
    }
    println!(
        "\nThis is built without optimisation, for a quick first look; `cargo install --path cli` builds what is shipped."
    );
    if demo.serve {
        println!(
            "\nEverything keeps running: logs in {shown}/logs, metrics as printed below. Ctrl-C ends it."
        );
        step(
            "rastro run",
            Command::new(&rastro).current_dir(root()).arg("run").arg("--data-dir").arg(&data_dir),
        )?;
    }
    Ok(())
}

fn empty(data_dir: &Path) -> anyhow::Result<()> {
    if data_dir.join("lock").exists() {
        fs::remove_dir_all(data_dir).with_context(|| format!("cannot empty `{}`", data_dir.display()))?;
    }
    fs::create_dir_all(data_dir).with_context(|| format!("cannot create `{}`", data_dir.display()))
}
