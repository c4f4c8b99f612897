//! Reading the layers.

use std::path::{Path, PathBuf};

use figment::{
    Figment, Profile,
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

/// Reads and checks the configuration.
pub(crate) fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = file(sources)? {
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::File { path: path.clone(), source })?;
        // Checked on its own first: toml's message shows line and column.
        toml::from_str::<Config>(&text).map_err(|error| {
            ConfigError::Values(format!("configuration file `{}`: {error}", path.display()))
        })?;
        figment = figment.merge(Toml::string(&text));
    }
    figment = figment.merge(Env::prefixed("RASTRO_").ignore(OTHER_VARIABLES).split("__"));
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

/// One `KEY=VALUE` as a layer. The value is read as TOML if it is TOML, else as text.
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
        let value = parsed.unwrap_or_else(|| Value::from(self.value));
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
            let what = error.kind.to_string();
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
    }
}
