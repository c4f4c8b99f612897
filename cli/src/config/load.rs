//! Reading the layers.

use std::path::{Path, PathBuf};

use figment::{
    Figment, Profile,
    error::Kind,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Map, Value},
};

use super::{Config, check};

/// Configuration that cannot be used. The message names the key, where it was set and what is expected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file that was named is not there or cannot be read.
    #[error("configuration file `{path}` cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Values that cannot be read.
    #[error("{0}")]
    Values(String),
    /// `--set` without `=`.
    #[error("`--set {0}`: expected KEY=VALUE, for example `--set analyzer.windows=[6,10]`")]
    Set(String),
}

/// Where values come from, beside defaults and environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// `-c FILE`; without one, `rastro.toml` in the current folder or `/etc/rastro/rastro.toml`, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// `--set KEY=VALUE`, in order.
    pub(crate) settings: Vec<String>,
    /// Values of named flags, by key.
    pub(crate) flags: Vec<(&'static str, String)>,
}

/// Variables with our prefix that are no configuration keys.
const OTHER_VARIABLES: &[&str] = &["config", "no_color"];

/// Keys whose values are text even where they look like something else: a password may be of digits alone.
const TEXTS: [&str; 6] =
    ["node", "dataset.name", "broker.username", "broker.password", "store.username", "store.password"];

/// Whether a variable (without our prefix) tells where a service is: Kubernetes sets those of every service in the namespace, and one
/// may be called `rastro` or `rastro-redis`. No key of ours looks like them.
fn is_of_kubernetes(name: &str) -> bool {
    let ends = ["service_host", "port", "_addr", "_proto"];
    !name.contains("__")
        && (ends.iter().any(|end| name.ends_with(end))
            || name.contains("service_port")
            || name.ends_with("_tcp")
            || name.ends_with("_udp"))
}

/// Reads and checks the configuration.
pub(crate) fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = file(sources)? {
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::File { path: path.clone(), source })?;
        // Checked on its own first: figment does not know lines.
        toml::from_str::<Config>(&text).map_err(|error| {
            let place = place(&text, error.span().map_or(0, |span| span.start), error.message());
            ConfigError::Values(format!("configuration file `{}`{place}", path.display()))
        })?;
        figment = figment.merge(Toml::string(&text));
    }
    let variables = Env::prefixed("RASTRO_")
        .ignore(OTHER_VARIABLES)
        .filter(|name| !is_of_kubernetes(&name.as_str().to_ascii_lowercase()));
    figment = figment.merge(variables.split("__"));
    for key in TEXTS {
        let variable = format!("RASTRO_{}", key.replace('.', "__").to_uppercase());
        if let Ok(value) = std::env::var(&variable) {
            figment = figment.merge(Setting {
                key,
                value: &value,
                flag: format!("environment variable {variable}"),
            });
        }
    }
    for setting in &sources.settings {
        let (key, value) = setting.split_once('=').ok_or_else(|| ConfigError::Set(setting.clone()))?;
        figment =
            figment.merge(Setting { key: key.trim(), value: value.trim(), flag: format!("--set {setting}") });
    }
    for (key, value) in &sources.flags {
        figment = figment.merge(Setting { key, value, flag: format!("flag for `{key}`") });
    }
    let config: Config = figment.extract().map_err(|errors| ConfigError::Values(describe(errors)))?;
    check::check(&config).map_err(ConfigError::Values)?;
    Ok(config)
}

/// Line, column and key of what is wrong at a byte of the file, and what it is: without the value of a password.
fn place(text: &str, byte: usize, message: &str) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let key = text.lines().nth(line).and_then(|line| line.split_once('=')).map_or("", |(key, _)| key.trim());
    let what = if is_secret(key) { TEXT_EXPECTED.to_owned() } else { message.replace('\n', ", ") };
    let key = if key.is_empty() || message.contains(key) { String::new() } else { format!(", `{key}`") };
    format!(" line {}, column {}{key}: {what}", line + 1, column + 1)
}

/// What is told of a value that must not be shown.
const TEXT_EXPECTED: &str = "expected text in quotes";

fn is_secret(key: &str) -> bool {
    key.ends_with("password")
}

fn file(sources: &Sources) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(path) = &sources.file {
        return Ok(Some(path.clone()));
    }
    for candidate in ["rastro.toml", "/etc/rastro/rastro.toml"] {
        match Path::new(candidate).try_exists() {
            Ok(true) => return Ok(Some(candidate.into())),
            Ok(false) => {}
            Err(source) => return Err(ConfigError::File { path: candidate.into(), source }),
        }
    }
    Ok(None)
}

/// One `KEY=VALUE` as a layer. The value is read as TOML if it is TOML and the key's is not text anyway, else as text.
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
    flag: String,
}

impl figment::Provider for Setting<'_> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.flag.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let text = format!("value = {}", self.value);
        let parsed = Toml::from_str::<Dict>(&text).ok().and_then(|mut dict| dict.remove("value"));
        let is_text = TEXTS.contains(&self.key);
        let value = parsed
            .filter(|value| !is_text || value.as_str().is_some())
            .unwrap_or_else(|| Value::from(self.value));
        let dict = figment::util::nest(self.key, value).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// figment's errors as one sentence each: what, which key, set where.
fn describe(errors: figment::Error) -> String {
    let sentences: Vec<String> = errors
        .into_iter()
        .map(|error| {
            let key = error.path.join(".");
            let place = error.metadata.as_ref().map_or_else(String::new, |metadata| match &metadata.source {
                Some(source) => format!(" (set in {source})"),
                None if metadata.name.contains("environment") => {
                    format!(" (set by environment variable RASTRO_{})", key.replace('.', "__").to_uppercase())
                }
                None => format!(" (set by {})", metadata.name),
            });
            let what = match &error.kind {
                _ if is_secret(&key) => TEXT_EXPECTED.to_owned(),
                Kind::UnknownField(name, known) => {
                    format!("there is no key `{name}` here, but {}", known.join(", "))
                }
                kind => kind.to_string(),
            };
            if key.is_empty() {
                format!("configuration: {what}{place}")
            } else {
                format!("configuration key `{key}`: {what}{place}")
            }
        })
        .collect();
    sentences.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &[&str]) -> Result<Config, String> {
        let sources =
            Sources { settings: settings.iter().map(|&s| s.to_owned()).collect(), ..Sources::default() };
        load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_overrides_a_default() {
        let config =
            with(&["analyzer.windows=[5]", "shipper.flush_interval=2s", "dataset.name=web"]).unwrap();
        assert_eq!(config.analyzer.windows, [5]);
        assert_eq!(config.shipper.flush_interval.as_secs(), 2);
        assert_eq!(config.dataset.name, "web");
        assert_eq!(config.models(), ["stide:window=5", "bosc:window=5"]);
    }

    #[test]
    fn variables_of_services_are_told_from_keys() {
        for name in [
            "port",
            "service_host",
            "service_port",
            "service_port_http",
            "port_80_tcp",
            "port_80_tcp_addr",
            "redis_port",
        ] {
            assert!(is_of_kubernetes(name), "{name}");
        }
        for name in ["data_dir", "node", "agent__log_dir", "observability__listen", "redis", "x__port"] {
            assert!(!is_of_kubernetes(name), "{name}");
        }
    }

    #[test]
    fn an_error_names_the_key() {
        for (setting, key) in [
            ("analyzer.frame=many", "analyzer.frame"),
            ("analyzer.windows=[1]", "analyzer.windows"),
            ("shipper.flush_interval=soon", "shipper.flush_interval"),
            ("dataset.name=UPPER", "dataset.name"),
            ("transformer.format=%evt.nonsense", "transformer.format"),
            ("analyzer.detectors=[\"oracle\"]", "analyzer.detectors"),
            ("observability.listen=0.0.0.0", "observability.listen"),
            ("nonsense.key=1", "nonsense"),
        ] {
            let message = with(&[setting]).unwrap_err();
            assert!(message.contains(key), "{setting}: {message}");
        }
        assert!(with(&["analyzer.frame"]).unwrap_err().contains("KEY=VALUE"));
        let message = with(&["analyzer.window=[6]"]).unwrap_err();
        assert!(message.contains("no key `window` here, but") && message.contains("windows"), "{message}");
    }

    #[test]
    fn an_error_in_a_file_is_one_line_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rastro.toml");
        for (text, expected) in [
            ("[analyzer]\nwindow = [6]\n", "line 2, column 1: unknown field `window`"),
            ("# é\n[analyzer]\nwindows = \"six\"\n", "line 3, column 11, `windows`: invalid type: string"),
            ("[analyzer]\nframe = \"many\"\n", "line 2, column 9, `frame`: invalid type: string"),
            ("[analyzer\n", "line 1, column "),
            ("a = 1\na = 2\n", "line 2, column 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let sources = Sources { file: Some(path.clone()), ..Sources::default() };
            let message = load(&sources).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn what_is_text_may_be_of_digits_and_a_password_is_never_shown() {
        let config = with(&["store.password=12345", "node=007", "dataset.name=2022"]).unwrap();
        assert_eq!(config.store.password, "12345");
        assert_eq!((config.node.as_str(), config.dataset.name.as_str()), ("007", "2022"));
        assert_eq!(with(&["node=\"a b\""]).unwrap().node, "a b");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rastro.toml");
        std::fs::write(&path, "[store]\npassword = 4242\n").unwrap();
        let sources = Sources { file: Some(path), ..Sources::default() };
        let message = load(&sources).unwrap_err().to_string();
        assert!(message.contains("line 2, column 12, `password`: expected text in quotes"), "{message}");
        assert!(!message.contains("4242"), "{message}");
    }
}
