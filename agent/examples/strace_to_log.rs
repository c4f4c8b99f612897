//! Rewrites a recording of strace as a log of Rastro's own: `strace_to_log IN OUT --id … --name … --image … [--skip-lines N]
//! [--replace FROM=TO]…`.
//!
//! `--replace` scrubs what belongs to the recording machine and not to the recording, before a line is read. `OUT` is gzipped if its
//! name ends in `.gz`. The first N lines are read, for the names of processes, and not written.

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
};

use flate2::{Compression, write::GzEncoder};
use rastro_agent::recording::StraceConverter;
use rastro_format::{DEFAULT, Format};
use rastro_model::{Container, LogHeader};

const USAGE: &str =
    "usage: strace_to_log IN OUT --id ID --name NAME --image IMAGE [--skip-lines N] [--replace FROM=TO]…";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(input), Some(output)) = (arguments.next(), arguments.next()) else { return Err(USAGE.into()) };
    let mut container = Container::default();
    let mut replacements = Vec::new();
    let mut skip_lines = 0_u64;
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match option.as_str() {
            "--id" => container.id = value,
            "--name" => container.name = Some(value),
            "--image" => container.image = Some(value),
            "--skip-lines" => skip_lines = value.parse()?,
            "--replace" => {
                let (from, to) = value.split_once('=').filter(|(from, _)| !from.is_empty()).ok_or(USAGE)?;
                replacements.push((from.to_owned(), to.to_owned()));
            }
            _ => return Err(USAGE.into()),
        }
    }
    let header = LogHeader {
        version: 1,
        format: DEFAULT.to_owned(),
        dataset: None,
        container,
        architecture: Some(env::consts::ARCH.to_owned()),
        date: None,
    };
    let file = BufWriter::new(File::create(&output)?);
    let mut writer: Box<dyn Write> = if output.as_bytes().ends_with(b".gz") {
        Box::new(GzEncoder::new(file, Compression::best()))
    } else {
        Box::new(file)
    };
    writer.write_all(&header.to_line()?)?;
    let mut converter = StraceConverter::new(Format::parse(DEFAULT)?);
    let (mut line, mut out) = (Vec::new(), Vec::new());
    let mut reader = BufReader::new(File::open(&input)?);
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        converter.line(&replace(text, &replacements), &mut out);
        if skip_lines == 0 {
            writer.write_all(&out)?;
        }
        skip_lines = skip_lines.saturating_sub(1);
        line.clear();
        out.clear();
    }
    converter.finish(&mut out);
    writer.write_all(&out)?;
    writer.flush()?;
    Ok(())
}

fn replace(line: &[u8], replacements: &[(String, String)]) -> Vec<u8> {
    let mut line = line.to_vec();
    for (from, to) in replacements {
        let mut position = 0;
        while let Some(at) = memchr::memmem::find(&line[position..], from.as_bytes()) {
            let start = position + at;
            line.splice(start..start + from.len(), to.bytes());
            position = start + to.len();
        }
    }
    line
}
